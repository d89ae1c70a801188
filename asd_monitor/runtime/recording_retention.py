"""Delete recordings that a machine was learned from, when their time is over."""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from asd_monitor.records import Record
from asd_monitor.runtime.forget import find_recordings
from asd_monitor.runtime.state_dir import StateFolder

logger = logging.getLogger(__name__)

START_DELAY_S = 60.0
INTERVAL_S = 3600.0
DAY_S = 86_400.0
STOP_TIMEOUT_S = 3.0


def remove_old_recordings(state: StateFolder, machine: str, days: float, now_s: float) -> int:
    """Delete recordings of a machine that are older than some days; return their number.

    Recordings that are newer than the machine's model were not learned from yet and stay; so do
    all if it has no model, and those that people confirmed, which the next refit needs. A model
    file has its name only when it is on the disk.
    """
    try:
        fitted_at = state.model_path(machine).stat().st_mtime
    except OSError:
        return 0
    removed = 0
    for path in find_recordings(state, machine, min(now_s - days * DAY_S, fitted_at)):
        if path.parent.name == "feedback":
            continue
        for file in [path, *path.rglob("*.wav")]:
            if file.is_file():
                file.unlink(missing_ok=True)
                removed += 1
    return removed


class RecordingRetention:
    """A sink that deletes old recordings once an hour, by a thread of its own.

    Parameters
    ----------
    state
        The state folder.
    kept_days
        Returns for how many days the recordings of each machine are kept; machines whose
        recordings are kept without limit are left out.
    start_delay_s
        Time before the first deletion.
    clock
        Seconds since the epoch, as the times of files.
    """

    def __init__(
        self,
        state: StateFolder,
        kept_days: Callable[[], Mapping[str, float]],
        *,
        start_delay_s: float = START_DELAY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state, self._kept_days = state, kept_days
        self._delay_s, self._clock = start_delay_s, clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recordings", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Do nothing: recordings are found by their files."""

    def close(self) -> None:
        """Stop the thread; may be called twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        wait_s = self._delay_s
        while not self._stopping.wait(wait_s):
            wait_s = INTERVAL_S
            for machine, days in self._kept_days().items():
                try:
                    removed = remove_old_recordings(self._state, machine, days, self._clock())
                except OSError as error:
                    logger.warning("%s: old recordings cannot be deleted: %s", machine, error)
                    continue
                if removed:
                    logger.info("%s: %d old recordings were deleted", machine, removed)
