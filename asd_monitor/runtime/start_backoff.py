"""Wait between the starts of a service that fails each time.

systemd 252 restarts a service at a constant interval (``RestartSteps=`` came with systemd 254). The
failed starts are therefore counted in the service's runtime directory, which systemd keeps across
restarts and removes when the service is stopped, and a start that follows several failed ones waits
before it does anything. Without a runtime directory nothing is counted and nothing waits.
"""

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from asd_monitor.runtime.systemd import Notifier
from asd_monitor.terminal import logging_setup

logger = logging.getLogger(__name__)

FILE_NAME = "failed-starts.json"
FIRST_WAIT_S = 5.0
"""Wait before the third start; the second follows the first at once."""
MAX_WAIT_S = 300.0
RESTARTED_WITHIN_S = 60.0
"""A start that follows a failure later than this was not made by systemd, so it does not wait."""
STABLE_AFTER_S = 60.0
"""A failure after this long is the first one of a new series."""
POLL_INTERVAL_S = 1.0
EXTENSION_S = 60.0
"""systemd expects the next message of a waiting start within this time; also enough for the start
itself."""

Signature = list[int] | None
"""What changes when a file changes: modification time, inode and size; None for a missing file."""


@dataclass(frozen=True, slots=True)
class FailedStarts:
    """The newest failures in a row."""

    count: int = 0
    reason: str = ""
    """Why the last one failed, in one sentence for the user."""
    files: Mapping[str, Signature] = field(default_factory=dict)
    """The files that the last start read, as they were at that time."""
    failed_at: float = 0.0
    """When it failed, by the monotonic clock of the system."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that :meth:`write` has written; a missing or damaged one counts none."""
        try:
            values: dict[str, Any] = json.loads(path.read_bytes())
            files = {str(name): signature for name, signature in values["files"].items()}
            count, failed_at = int(values["count"]), float(values["failed_at"])
            return cls(count, str(values["reason"]), files, failed_at)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def write(self, path: Path) -> None:
        """Write a file for the next start."""
        values = asdict(self)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(values), encoding="utf-8")
        unfinished.replace(path)

    @property
    def wait_s(self) -> float:
        """How long the next start waits, in seconds; doubled by each failure."""
        if self.count < 2:
            return 0.0
        return min(FIRST_WAIT_S * 2.0 ** min(self.count - 2, 30), MAX_WAIT_S)

    def files_changed(self) -> bool:
        """Return whether a file has changed since the last start read it."""
        return any(_sign(Path(name)) != signature for name, signature in self.files.items())


class StartBackoff:
    """Delay a service's start after failed ones, and count failures.

    Parameters
    ----------
    folder
        The runtime directory; None to do nothing.
    notifier
        Reports the wait to systemd.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        folder: Path | None,
        notifier: Notifier,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = None if folder is None else folder / FILE_NAME
        self._notifier = notifier
        self._clock = clock
        self._files: dict[str, Signature] = {}
        self._earlier = FailedStarts()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Use the runtime directory and the notification socket of systemd."""
        folder = environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
        notifier = Notifier.from_environment(environ)
        return cls(Path(folder) if folder else None, notifier)

    def watch(self, files: Iterable[Path]) -> None:
        """Note files that this start reads: a change ends the wait before a later start."""
        self._files |= {str(path): _sign(path) for path in files}

    @contextmanager
    def around_start(self, stop: threading.Event) -> Iterator[None]:
        """Wait if earlier starts have failed; then run the body, and count its failure.

        ``stop`` ends the wait: the service is being stopped or restarted by an administrator, so
        the count begins again.
        """
        self._wait(stop)
        started_at = self._clock()
        try:
            yield
        except Exception as error:
            ran_s = self._clock() - started_at
            self._record(error, 1 if ran_s >= STABLE_AFTER_S else self._earlier.count + 1)
            raise
        self._forget()

    def _wait(self, stop: threading.Event) -> None:
        if self._path is None:
            return
        failed = FailedStarts.read(self._path)
        if self._clock() - failed.failed_at > RESTARTED_WITHIN_S:
            return
        self._earlier = failed
        if not failed.wait_s:
            return
        until = self._clock() + failed.wait_s
        next_start = time.strftime("%H:%M:%S UTC", time.gmtime(time.time() + failed.wait_s))
        text = (
            f"{failed.count} starts in a row have failed; next attempt at {next_start}, or when "
            f"the configuration or a model changes: {failed.reason}"
        )
        logging_setup.set_up()
        logger.warning("%s", text)
        while (remaining_s := until - self._clock()) > 0 and not failed.files_changed():
            self._notifier.extend_start(EXTENSION_S, text)
            if stop.wait(min(POLL_INTERVAL_S, remaining_s)):
                self._forget()
                return
        self._notifier.extend_start(EXTENSION_S, f"starting again after {failed.count} failures")

    def _record(self, error: Exception, count: int) -> None:
        reason = " ".join(str(error).split()) or repr(error)
        if self._path is not None:
            with suppress(OSError):  # the failure itself is reported in any case
                FailedStarts(count, reason, self._files, self._clock()).write(self._path)

    def _forget(self) -> None:
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _sign(path: Path) -> Signature:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_ino, status.st_size]
