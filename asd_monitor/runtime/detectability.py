"""Measure what the learned models of the state folder can detect, in the background."""

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from asd_monitor.config import Config
from asd_monitor.detectability.result import Detectability
from asd_monitor.detectability.sentences import describe
from asd_monitor.detectability.store import read_result, write_result
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.errors import AsdMonitorError, ModelFileError
from asd_monitor.progress import Progress
from asd_monitor.records import Record
from asd_monitor.runtime.recording_store import RecordingStore
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.terminal.progress import console_progress

logger = logging.getLogger(__name__)

START_DELAY_S = 60.0
"""Nothing is measured in this time after the start, or after a model was written."""
POLL_INTERVAL_S = 10.0
STOP_TIMEOUT_S = 3.0
LOWEST_PRIORITY = 19

Asked = Callable[[], dict[str, float]]
"""Return the false alarms a month that are asked for, of each machine."""


def measure_machine(
    state: StateFolder,
    machine: str,
    alarm: AlarmSettings,
    progress: Progress | None = None,
) -> Detectability:
    """Measure what the learned model of a machine can detect, and write it next to the model.

    Raises
    ------
    AsdMonitorError
        If there is no such model, or a file cannot be read or written.
    """
    from asd_monitor.detectability.measure import measure
    from asd_monitor.model_file import read_manifest

    path = state.model_path(machine)
    if not path.is_file():
        raise ModelFileError(f"{machine}: expected a model that was learned here, found no {path}")
    manifest, sha256 = read_manifest(path)
    folder = state.recordings_path(machine)
    store = RecordingStore(machine, folder, manifest.sample_rate_hz, "earlier")
    result = measure(store.recordings, manifest, sha256, alarm=alarm, progress=progress)
    write_result(path, result)
    return result


def measure_learned(
    config: Config,
    state: StateFolder,
    machines: Iterable[str],
    stop: threading.Event,
    *,
    quiet: bool,
) -> dict[str, Detectability]:
    """Measure machines that were just learned, as far as their settings ask for it.

    Parameters
    ----------
    config
        The settings.
    state
        The state folder.
    machines
        The machines that have a model.
    stop
        Ends the measurement when set; what was measured before is returned.
    quiet
        Display no progress.
    """
    results: dict[str, Detectability] = {}
    with console_progress(quiet=quiet) as progress:
        for machine in machines:
            settings = config.learn_of(machine)
            if not settings.detectability or settings.keep_recordings is False:
                continue
            try:
                results[machine] = measure_machine(
                    state, machine, config.alarm_of(machine), _AbortOn(stop, progress)
                )
            except _AbortedError:
                break
            except AsdMonitorError as error:
                logger.warning("%s: what it can detect was not measured: %s", machine, error)
    return results


class _AbortedError(Exception):
    """The measurement was stopped."""


class _AbortOn:
    """Passes progress on, and aborts once an event is set."""

    def __init__(self, stop: threading.Event, progress: Progress) -> None:
        self._stop, self._progress = stop, progress

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        """Raise if the event is set."""
        if self._stop.is_set():
            raise _AbortedError
        self._progress.update(stage, done, total, detail)

    def message(self, text: str) -> None:
        """Pass a sentence on."""
        self._progress.message(text)


class DetectabilityJobs:
    """A sink that measures models without a result, one after the other, in a process each.

    The process has the lowest priority and one thread, and ends by itself after at most
    :data:`~asd_monitor.detectability.measure.MAX_CPU_S` of processor time. It is stopped with the
    monitor, and started again at the next start. A model that was replaced is measured again.

    Parameters
    ----------
    state
        The state folder.
    asked
        Returns the machines to measure, with the false alarms a month that are asked for.
    start_delay_s
        Time before the first measurement.
    clock
        Seconds since the epoch, as the times of files.
    """

    def __init__(
        self,
        state: StateFolder,
        asked: Asked,
        *,
        start_delay_s: float = START_DELAY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._state = state
        self._asked = asked
        self._delay_s = start_delay_s
        self._clock = clock
        self._stopping = threading.Event()
        self._failed: set[tuple[str, str, float]] = set()
        self._seen: dict[Path, tuple[float, str]] = {}
        self._thread = threading.Thread(target=self._run, name="detectability", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Do nothing: models are found by their files."""

    def close(self) -> None:
        """Stop the thread, and the process if there is one; may be called twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(2 * STOP_TIMEOUT_S)

    def _run(self) -> None:
        wait_s = self._delay_s
        while not self._stopping.wait(wait_s):
            wait_s = POLL_INTERVAL_S
            try:
                for machine, sha256, asked in self.list_missing():
                    if self._stopping.is_set():
                        return
                    if not self._measure(machine, asked):
                        self._failed.add((machine, sha256, asked))
            except Exception:  # the thread's top: reported, and tried again
                logger.exception("what models can detect is not measured at present")

    def list_missing(self) -> Iterator[tuple[str, str, float]]:
        """Yield the machines whose model has no result, with its hash and the setting."""
        for machine, asked in self._asked().items():
            path = self._state.model_path(machine)
            sha256 = self._hash(path)
            if not sha256 or (machine, sha256, asked) in self._failed:
                continue
            result = read_result(path)
            if result is None or not result.is_of(sha256, asked):
                yield machine, sha256, asked

    def _hash(self, path: Path) -> str:
        """Return the hash of a model file; empty if there is none, or it is new."""
        from asd_monitor.model_file import read_manifest

        try:
            modified_s = path.stat().st_mtime
        except OSError:
            return ""
        known_s, sha256 = self._seen.get(path, (0.0, ""))
        if known_s == modified_s:
            return sha256
        if 0 <= self._clock() - modified_s < self._delay_s:
            return ""
        try:
            sha256 = read_manifest(path)[1]
        except ModelFileError:
            sha256 = ""  # reported where it is loaded
        self._seen[path] = (modified_s, sha256)
        return sha256

    def _measure(self, machine: str, asked: float) -> bool:
        """Run the process and wait for it; return False if it failed."""
        command = [
            sys.executable, "-m", "asd_monitor.cli", "detectability", machine, "--json",
            "--state-dir", str(self._state.root), "--false-alarms-per-month", str(asked),
        ]  # fmt: skip
        logger.info("%s: measuring in the background what it can and cannot detect", machine)
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
            )
            while process.poll() is None:
                if self._stopping.wait(0.5):
                    _stop(process)
                    return True
            if process.returncode == 0:
                result = read_result(self._state.model_path(machine))
                if result is not None:
                    logger.info("%s: %s", machine, describe(result))
                return True
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
        problem = lines[-1].removeprefix("asd-monitor: ") if lines else f"{process.returncode}"
        logger.warning("%s: what it can detect was not measured: %s", machine, problem)
        return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def use_few_resources() -> None:
    """Let everything else on this computer go first: lowest priority, one thread."""
    from asd_monitor.model_file.runtimes import require_torch

    require_torch("measuring what a model detects")
    import torch

    os.nice(LOWEST_PRIORITY)
    torch.set_num_threads(1)
