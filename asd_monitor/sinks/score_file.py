"""Append scores to a file as JSON lines, without ever blocking the caller."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from asd_monitor.records import ScoredWindow
from asd_monitor.sinks.payloads import NO_NAMES, Names, encode, score_payload
from asd_monitor.sinks.rotating_file import RotatingFile
from asd_monitor.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)

MAX_QUEUED = 1000
CLOSE_TIMEOUT_S = 3.0
SYNC_INTERVAL_S = 5.0


class ScoreFile:
    """A file of scores, written by a separate thread.

    Each line is passed to the operating system at once, and is on the disk SYNC_INTERVAL_S later:
    a power failure loses no more than that. If the disk is full or fails, scores are
    dropped and counted, incomplete lines are removed, and writing resumes when it succeeds.

    Parameters
    ----------
    file
        The file to append to.
    node
        Name of this monitor in the payloads.
    metrics
        Where losses are counted, as queue ``score_file``.
    clock
        Seconds since the epoch.
    names
        Names of the machines for people, by id.
    monotonic
        Clock that never jumps, in seconds.
    """

    def __init__(
        self,
        file: RotatingFile,
        node: str,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        names: Names = NO_NAMES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = file
        self._node = node
        self._names = names
        self._dropped = metrics.dropped.labels("score_file")
        self._clock = clock
        queue = self._queue = deque[ScoredWindow]()
        self._condition = threading.Condition()  # guards the queue and _closing
        self._closing = False
        self._failing = False
        self._monotonic = monotonic
        self._unsynced_since: float | None = None
        self._thread: threading.Thread | None = None
        metrics.queue_depth.labels("score_file").set_function(lambda: len(queue))

    def open(self) -> None:
        """Open the file and start the thread.

        Raises
        ------
        SinkError
            If the file cannot be opened for appending, or another process writes to it.
        """
        self._file.open()
        self._thread = threading.Thread(target=self._run, name="score-file", daemon=True)
        self._thread.start()

    def put(self, window: ScoredWindow) -> None:
        """Queue a score; returns at once."""
        with self._condition:
            if self._closing:
                self._dropped.inc()
                return
            self._queue.append(window)
            if len(self._queue) > MAX_QUEUED:
                self._queue.popleft()
                self._dropped.inc()
            self._condition.notify()

    def close(self) -> None:
        """Write what is queued and close the file; may be called twice."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        try:
            while True:
                with self._condition:
                    self._condition.wait_for(self._has_work, self._until_sync_s())
                    if not self._queue and self._closing:
                        return
                    window = self._queue.popleft() if self._queue else None
                if window is not None:
                    payload = score_payload(window, self._node, self._clock(), self._names)
                    self._write(encode(payload) + b"\n")
                if self._until_sync_s() == 0:
                    self._sync()
        finally:
            self._file.close()

    def _has_work(self) -> bool:
        return bool(self._queue) or self._closing

    def _until_sync_s(self) -> float | None:
        """Return in how many seconds the file is to be synchronised; None if it is."""
        if self._unsynced_since is None:
            return None
        return max(0.0, self._unsynced_since + SYNC_INTERVAL_S - self._monotonic())

    def _sync(self) -> None:
        try:
            self._file.sync()
        except OSError as error:
            logger.warning("%s cannot be synchronised with the disk: %s", self._file.path, error)
        self._unsynced_since = None

    def _write(self, line: bytes) -> None:
        try:
            self._file.append(line)
            if self._unsynced_since is None:
                self._unsynced_since = self._monotonic()
        except OSError as error:
            self._dropped.inc()
            if not self._failing:
                logger.warning("scores cannot be written to %s: %s", self._file.path, error)
            self._failing = True
        else:
            if self._failing:
                logger.info("scores are written to %s again", self._file.path)
            self._failing = False
