"""Decide whether a model file may run: its integrity, its origin, its code, and a trial."""

import hashlib
import io
import logging
import zipfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from asd_monitor.errors import ModelFileError, UntrustedModelError
from asd_monitor.model_file.archive import read_bytes
from asd_monitor.model_file.content import open_content
from asd_monitor.model_file.made_here import is_made_here
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.model_file.onnx_members import can_score, read_graphs
from asd_monitor.model_file.policy import LoadPolicy
from asd_monitor.model_file.runtimes import ChosenRuntime, choose_runtime
from asd_monitor.model_file.scan import is_scanned, scan
from asd_monitor.model_file.signature import read_signature
from asd_monitor.model_file.trial import Announce, Trial, TrialFailedError
from asd_monitor.model_file.verdicts import find_failure, has_passed, note_failed, note_passed
from asd_monitor.processes.memory import return_large_blocks

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """A model file that was checked, and not run."""

    manifest: Manifest
    sha256: str
    size_bytes: int
    origin: str
    """Who signed it, for people."""
    runtimes: tuple[ChosenRuntime, ...]
    """What can score it."""


def verify(path: Path | str, policy: LoadPolicy | None = None) -> VerifiedFile:
    """Check integrity, signature and code of a model file without running anything in it.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged, has code that no model needs, or may not run by the
        policy.
    """
    path = Path(path)
    return verify_content(read_bytes(path), path, policy)


def verify_content(content: bytes, path: Path, policy: LoadPolicy | None = None) -> VerifiedFile:
    """Verify as :func:`verify`, given the content of the file; errors name ``path``."""
    manifest, _ = open_content(content, path)
    sha256 = hashlib.sha256(content).hexdigest()
    signature = read_signature(content)
    policy = policy or LoadPolicy()
    origin = policy.check_signature(signature, sha256, path)
    policy.check_age(signature, manifest.created_at, path)
    scan_content(content, path)
    runtimes: tuple[ChosenRuntime, ...] = ("torchscript",)
    if can_score(read_graphs(content, path), manifest):
        runtimes = ("torchscript", "onnx")
    return VerifiedFile(manifest, sha256, len(content), origin, runtimes)


def try_new(
    paths: Iterable[Path], policy: LoadPolicy, announce: Announce | None = None
) -> dict[Path, ModelFileError]:
    """Check files before they are loaded, and return what is wrong; new ones share a trial."""
    problems: dict[Path, ModelFileError] = {}
    with ExitStack() as stack:
        trial: Trial | None = None
        for path in paths:
            try:
                if trial is None:
                    runtime = prepare_runtime(policy, "auto", path)
                    trial = stack.enter_context(Trial(runtime, announce))
                admit(read_bytes(path), path, policy, trial)
            except ModelFileError as error:
                problems[path] = error
    return problems


def prepare_runtime(policy: LoadPolicy, device: str, path: Path) -> ChosenRuntime:
    """Return what is to run a model, and prepare this process for it."""
    runtime = choose_runtime(policy.runtime, device, path)
    if runtime == "onnx":  # it is chosen where there is little memory
        return_large_blocks()
    return runtime


def admit(content: bytes, path: Path, policy: LoadPolicy, trial: Trial) -> None:
    """Check origin and code of a model file, and try it if it is new; raise ModelFileError."""
    sha256 = hashlib.sha256(content).hexdigest()
    if is_made_here(sha256):
        return
    signature = read_signature(content)
    try:
        origin = policy.check_signature(signature, sha256, path)
    except UntrustedModelError:
        open_content(content, path)  # where the file is damaged, that is the reason
        raise
    if policy.is_own(signature):
        return
    manifest, _ = open_content(content, path)
    policy.check_age(signature, manifest.created_at, path)
    _report_origin(path, sha256, origin)
    if has_passed(policy.verdicts, sha256, trial.runtime):
        policy.note_use(signature, manifest.created_at, path)
        return
    scan_content(content, path)
    if reason := find_failure(policy.verdicts, sha256, trial.runtime):
        msg = f"{path}: {reason} (found earlier; it is tried again after an update of the program)"
        raise ModelFileError(msg)
    try:
        trial.run(content, path)
    except TrialFailedError as error:
        reason = str(error).removeprefix(f"{path}: ")
        note_failed(policy.verdicts, sha256, trial.runtime, reason)
        raise
    note_passed(policy.verdicts, sha256, trial.runtime)
    policy.note_use(signature, manifest.created_at, path)


@lru_cache(maxsize=1024)
def _report_origin(path: Path, sha256: str, origin: str) -> None:
    """Log who signed a file, once: a start reads it several times."""
    logger.info("%s: %s", path, origin)


def scan_content(content: bytes, path: Path) -> None:
    """Raise ModelFileError if a model file has code that no model needs."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        scan({name: archive.read(name) for name in names if is_scanned(name)}, names, path)
    read_graphs(content, path)
