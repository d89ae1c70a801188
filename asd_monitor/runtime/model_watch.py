"""Use a model file that replaces the one of a machine while the monitor runs."""

import hashlib
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from asd_monitor.errors import AsdMonitorError
from asd_monitor.model_file.archive import read_bytes
from asd_monitor.records import Record
from asd_monitor.runtime.detectors import load_detector
from asd_monitor.runtime.machine_addition import RunningMachines

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector

logger = logging.getLogger(__name__)

POLL_INTERVAL_S = 2.0
CLOSE_TIMEOUT_S = 3.0
RECENT_S = 60.0
"""A file that was written this recently may have replaced the one that was loaded at the start."""

Signature = tuple[int, int, int, int]
"""What changes when a file is replaced: times of change, inode and size."""


class ModelWatch:
    """Notice that model files have been replaced, verify them, and use them between two windows.

    A file that is refused is named, and the model before it remains in use. A file is read when it
    has not changed between two polls, so one that is copied slowly is not read too early.

    It is a sink only because sinks are opened and closed with the monitor.

    Parameters
    ----------
    machines
        The machines of the monitor.
    """

    def __init__(self, machines: RunningMachines) -> None:
        self._machines = machines
        self._known: dict[Path, Signature | None] = {}
        self._changed: dict[Path, Signature] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-watch", daemon=True)

    def open(self) -> None:
        """Start the thread."""
        self._thread.start()

    def emit(self, record: Record) -> None:
        """Do nothing."""

    def close(self) -> None:
        """End the thread; may be called twice."""
        self._closing.set()
        if self._thread.ident is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closing.wait(POLL_INTERVAL_S):
            try:
                self.check()
            except Exception:  # the thread's top: a fault here must not end it
                logger.exception("the model files cannot be watched")

    def check(self) -> None:
        """Use the files that have been replaced, and have not changed since the last check."""
        for path, names in self._list_files().items():
            signature = _sign(path)
            if path not in self._known:
                self._known[path] = None if _is_recent(signature) else signature
            if signature is None or signature == self._known[path]:
                continue
            if self._changed.get(path) != signature:
                self._changed[path] = signature
            elif self._use(path, names):
                self._known[path] = signature

    def _list_files(self) -> dict[Path, list[str]]:
        config, state = self._machines.config, self._machines.builder.state
        found: defaultdict[Path, list[str]] = defaultdict(list)
        for name, settings in config.machines.items():
            found[settings.model or state.model_path(name)].append(name)
        return found

    def _use(self, path: Path, names: Sequence[str]) -> bool:
        """Use a file for its machines; return False to try again later."""
        monitor = self._machines.builder.monitor
        if any(monitor.commissioning(name) is not None for name in names):
            return False  # it is written by what learns the machine, and then used
        try:
            sha256 = hashlib.sha256(read_bytes(path)).hexdigest()
            waiting = [name for name in names if self._sha256_of(name) != sha256]
            if waiting:
                detector = load_detector(
                    self._machines.config, self._machines.builder.state, path, waiting
                )
                with self._machines.lock:  # not before: verifying a file takes seconds
                    for name in waiting:
                        if self._sha256_of(name) != sha256:  # unless a page has used it meanwhile
                            self._install(name, detector)
            for name in names:
                self._note(name, "")
        except AsdMonitorError as error:
            for name in names:
                self._refuse(name, error)
        return True

    def _sha256_of(self, machine: str) -> str:
        detector = self._machines.builder.monitor.detector(machine)
        return "" if detector is None else detector.model.sha256

    def _install(self, machine: str, detector: "Detector") -> None:
        machines = self._machines
        if machine not in machines.config.machines:
            return  # it was removed meanwhile
        earlier = machines.builder.monitor.detector(machine)
        rate_hz = detector.manifest.sample_rate_hz
        if earlier is not None and earlier.manifest.sample_rate_hz == rate_hz:
            machines.builder.monitor.install(machine, detector)
        else:  # its sound must be captured at another rate
            prepared = machines.prepare(machines.loaded, [machine])
            machines.exchange(prepared, machine)
        logger.info(
            "%s: its model file was replaced; %s is in use, instead of %s",
            machine, _describe(detector), "none" if earlier is None else _describe(earlier),
        )  # fmt: skip

    def _refuse(self, machine: str, error: AsdMonitorError) -> None:
        detector = self._machines.builder.monitor.detector(machine)
        kept = "it has no model" if detector is None else f"{_describe(detector)} remains in use"
        problem = f"its new model file cannot be used: {error}; {kept}"
        logger.error("%s: %s", machine, problem)
        self._note(machine, problem)

    def _note(self, machine: str, problem: str) -> None:
        for pipeline in self._machines.builder.monitor.pipelines:
            if pipeline.machine == machine:
                pipeline.model_problem = problem


def _describe(detector: "Detector") -> str:
    manifest, sha256 = detector.manifest, detector.model.sha256
    return f"{manifest.name}, revision {manifest.revision} ({sha256[:12]})"


def _sign(path: Path) -> Signature | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size


def _is_recent(signature: Signature | None) -> bool:
    return signature is not None and time.time() - signature[1] / 1e9 < RECENT_S
