"""The folder of a training run.

``run.json`` (recipe, seed, data, versions), ``metrics.jsonl`` (one line per epoch), a folder of
checkpoints for each network, ``loss.png`` and ``auc.png``.
"""

import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asd_monitor import __version__
from asd_monitor.errors import ModelFileError, RunError
from asd_monitor.file_lock import file_lock
from asd_monitor.model_file.archive import write_atomically

FORMAT_VERSION = 1
_METADATA = "run.json"
_METRICS = "metrics.jsonl"
_NETWORKS = "networks"
_LOCK = ".lock"
TENSORBOARD = "tensorboard"
"""Folder for TensorBoard, with one for each network."""
MAX_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class RunMetadata:
    """Everything that is needed to train a run again."""

    model: str
    recipe: Mapping[str, Any]
    """The resolved recipe."""
    seed: int
    dataset: str
    """Folder of the dataset."""
    year: int | None
    machines: tuple[str, ...]
    targets: Mapping[str, int]
    """Names of the targets, with the number of clips that each is trained on."""
    held_out: Mapping[str, int]
    """The same for held-out clips."""
    fingerprint: str
    """SHA-256 over names and contents of all training clips, held-out ones included."""
    initial: Mapping[str, Any] | None = None
    """Initial weights: ``files`` (path, SHA-256, network or None for all), and by ``networks``
    which tensors matched. None: every network was initialised at random."""
    versions: Mapping[str, str] = field(default_factory=lambda: library_versions())
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format_version: int = FORMAT_VERSION

    def difference_from(self, stored: "RunMetadata") -> str | None:
        """Return the first difference that makes ``stored`` another run; None if it is this one."""
        for name, there, now in (
            ("model", stored.model, self.model),
            ("seed", stored.seed, self.seed),
            ("machines", stored.machines, self.machines),
        ):
            if there != now:
                return f"{name}: {_shorten(there)} there, {_shorten(now)} now"
        for what, before, after in (
            ("training clips", stored.targets, self.targets),
            ("held-out clips", stored.held_out, self.held_out),
        ):
            for target in sorted({*before, *after}):
                if before.get(target) != after.get(target):
                    counts = f"{before.get(target, 0)} there, {after.get(target, 0)} now"
                    return f"{what} of {target}: {counts}"
        if self.fingerprint != stored.fingerprint:
            return "the contents of training clips have changed since then"
        for name in sorted({*self.recipe, *stored.recipe}):
            setting = self.recipe.get(name)
            # A setting that this version added is compared when the checkpoints are read.
            stored_setting = stored.recipe.get(name, setting)
            if stored_setting != setting:
                return f"{name}: {stored_setting!r} there, {setting!r} now"
        # Without --init-from, a resumed run uses its own files.
        if self.initial is not None and _digests(self.initial) != _digests(stored.initial):
            return "init-from: other weights there than now"
        return None


def library_versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    import numpy
    import torch

    return {
        "asd-monitor": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
        "machine": platform.machine(),
    }


class Run:
    """A training run in its folder; see :meth:`create` and :meth:`open`."""

    def __init__(self, folder: Path, metadata: RunMetadata) -> None:
        self.folder = folder
        self.metadata = metadata

    @classmethod
    def create(cls, folder: Path, metadata: RunMetadata, *, resume: bool) -> "Run":
        """Create a run's folder, or open the one to resume.

        Raises
        ------
        RunError
            If a run exists already and is not to be resumed or differs from the requested one,
            or the folder cannot be written.
        """
        if (folder / _METADATA).exists():
            if not resume:
                msg = f"{folder}: holds a training run already; continue it with --resume"
                raise RunError(f"{msg}, or choose another --out")
            stored = cls.open(folder)
            if difference := metadata.difference_from(stored.metadata):
                msg = f"{folder}: cannot be resumed: it is another run ({difference})"
                advice = "give the same data and settings as then, or choose another --out"
                raise RunError(f"{msg}; {advice}")
            return stored
        if resume:
            raise RunError(f"{folder}: there is no run to resume; leave out --resume")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{folder}: expected a new or empty folder; choose another --out")
        run = cls(folder, metadata)
        run.write(_METADATA, _to_json(metadata))
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Open an existing run.

        Raises
        ------
        RunError
            If there is none, or it is damaged or of another version.
        """
        path = folder / _METADATA
        try:
            values = json.loads(path.read_bytes())
        except OSError as error:
            msg = f"{folder}: expected the folder of a training run: {path}: {error.strerror}"
            raise RunError(msg) from error
        except ValueError as error:
            raise RunError(f"{path}: damaged: {error}; restore it, or train again") from error
        version = values.get("format_version") if isinstance(values, dict) else None
        if version != FORMAT_VERSION:
            msg = f"{path}: expected a run of version {FORMAT_VERSION}, found {version!r}"
            raise RunError(f"{msg}; train again, or use the asd-monitor that wrote it")
        try:
            for name in ("recipe", "targets", "held_out"):
                if not isinstance(values[name], dict):
                    raise TypeError(f"{name}: expected keys and values, found {values[name]!r}")
            metadata = RunMetadata(**values | {"machines": tuple(values["machines"])})
        except (TypeError, KeyError) as error:
            msg = f"{path}: not a run of this program: {error}"
            raise RunError(f"{msg}; restore it, or train again") from error
        return cls(folder, metadata)

    def with_initial(self, initial: Mapping[str, Any]) -> "Run":
        """Return the run with other facts about its initial weights, after writing them."""
        metadata = replace(self.metadata, initial=initial)
        self.write(_METADATA, _to_json(metadata))
        return Run(self.folder, metadata)

    def checkpoint_folder(self, network: str) -> Path:
        """Return the folder of a network's checkpoints."""
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in network)
        return self.folder / _NETWORKS / safe

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the run atomically."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / name, content)
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be written: {error.strerror}") from error
        except ModelFileError as error:
            raise RunError(str(error)) from error

    def metrics(self) -> list[dict[str, Any]]:
        """Return the lines of the metrics, without truncated or foreign ones."""
        lines = []
        path = self.folder / _METRICS
        for text in path.read_bytes().splitlines() if path.exists() else ():
            try:
                values = json.loads(text)
            except ValueError:
                continue
            if isinstance(values, dict) and {"network", "epoch"} <= values.keys():
                lines.append(values)
        return lines

    def append_metrics(self, values: Mapping[str, Any]) -> None:
        """Append a line to the metrics."""
        path = self.folder / _METRICS
        try:
            with path.open("a", encoding="utf-8") as opened:
                opened.write(json.dumps(values) + "\n")
        except OSError as error:
            msg = f"{path}: cannot be written: {error.strerror}"
            raise RunError(f"{msg}; free space, then continue with --resume") from error

    def truncate_metrics(self, network: str, epochs: int) -> None:
        """Remove the lines of a network after ``epochs``, which will be trained again."""
        lines = [
            line for line in self.metrics() if line["network"] != network or line["epoch"] <= epochs
        ]
        self.write(_METRICS, "".join(json.dumps(line) + "\n" for line in lines).encode())

    def delete_if_untrained(self) -> None:
        """Remove a new run without any metrics, so that its folder can be used again."""
        if self.metrics():
            return
        for name in (_NETWORKS, TENSORBOARD):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (_METADATA, _METRICS, _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # the folder holds other files
            self.folder.rmdir()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other trainings out of the folder inside the block.

        Raises
        ------
        RunError
            If another process trains there, or the folder cannot be locked.
        """
        taken = f"{self.folder}: another training writes there"
        with file_lock(self.folder / _LOCK, RunError, taken):
            yield


def _to_json(metadata: RunMetadata) -> bytes:
    return json.dumps(asdict(metadata), indent=1, sort_keys=True).encode() + b"\n"


def _digests(initial: Mapping[str, Any] | None) -> list[tuple[str | None, str]]:
    files = initial["files"] if initial else ()
    return [(file["network"], file["sha256"]) for file in files]


def _shorten(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = list(value)
    text = str(value)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."
