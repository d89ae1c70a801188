"""A training run's folder: what was asked for, on what, and everything that came of it.

``run.json`` (recipe, seed, data, versions), ``metrics.jsonl`` (a line for each epoch), a folder of
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
_ABOUT = "run.json"
_METRICS = "metrics.jsonl"
_LOCK = ".lock"
TENSORBOARD = "tensorboard"
"""Folder for TensorBoard, with one for each network."""
_CLIPS_OF = {"targets": "training clips", "held_out": "held-out clips"}


@dataclass(frozen=True)
class About:
    """What a run is: everything needed to train it again."""

    model: str
    recipe: Mapping[str, Any]
    """The resolved recipe."""
    seed: int
    dataset: str
    """Folder of the dataset."""
    year: int | None
    machines: tuple[str, ...]
    targets: Mapping[str, int]
    """Names of the targets, and how many clips each is trained with."""
    held_out: Mapping[str, int]
    fingerprint: str
    """SHA-256 over names and contents of all training clips, held-out ones included."""
    initial: Mapping[str, Any] | None = None
    """Weights that the run began with: ``files`` (path, SHA-256, network or None for all), and by
    ``networks`` what was taken of them. None: every network started at random."""
    versions: Mapping[str, str] = field(default_factory=lambda: versions())
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    format_version: int = FORMAT_VERSION

    def differs_from(self, other: "About") -> str | None:
        """Return what makes another run of this one, in words; None if nothing does."""
        for name in ("model", "seed", "machines"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                return f"{name}: {_short(theirs)} there, {_short(mine)} now"
        for what in ("targets", "held_out"):
            here, there = getattr(self, what), getattr(other, what)
            for target in sorted({*here, *there}):
                if here.get(target) != there.get(target):
                    clips = f"{there.get(target, 0)} there, {here.get(target, 0)} now"
                    return f"{_CLIPS_OF[what]} of {target}: {clips}"
        if self.fingerprint != other.fingerprint:
            return "the contents of training clips have changed since then"
        for name in sorted({*self.recipe, *other.recipe}):
            mine = self.recipe.get(name)
            # A setting that is new since then is compared when the checkpoints are read.
            theirs = other.recipe.get(name, mine)
            if mine != theirs:
                return f"{name}: {theirs!r} there, {mine!r} now"
        # Not given again, they are those of the run.
        if self.initial is not None and _digests(self.initial) != _digests(other.initial):
            return "init-from: other weights there than now"
        return None


def versions() -> dict[str, str]:
    """Return the versions that results may depend on."""
    import numpy
    import torch
    import torchaudio

    return {
        "asd-monitor": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "torchaudio": str(torchaudio.__version__),
        "numpy": numpy.__version__,
        "machine": platform.machine(),
    }


class Run:
    """A run's folder; made by :meth:`create`, found again by :meth:`open`."""

    def __init__(self, folder: Path, about: About) -> None:
        self.folder = folder
        self.about = about

    @classmethod
    def create(cls, folder: Path, about: About, *, resume: bool) -> "Run":
        """Make a run's folder, or find the one that is to go on.

        Raises
        ------
        RunError
            If there is a run already and it is not to be resumed or differs from what is asked
            for, or the folder cannot be written.
        """
        if (folder / _ABOUT).exists():
            if not resume:
                msg = f"{folder}: holds a training run already; go on with --resume"
                raise RunError(f"{msg}, or choose another --out")
            there = cls.open(folder)
            if difference := about.differs_from(there.about):
                msg = f"{folder}: cannot be resumed: it is another run ({difference})"
                told = "give the same data and settings as then, or choose another --out"
                raise RunError(f"{msg}; {told}")
            return there
        if resume:
            raise RunError(f"{folder}: there is no run to resume; leave out --resume")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{folder}: expected a new or empty folder; choose another --out")
        run = cls(folder, about)
        run.write(_ABOUT, _json(about))
        return run

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """Find a run.

        Raises
        ------
        RunError
            If there is none, or it is damaged or of another version.
        """
        path = folder / _ABOUT
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
            return cls(folder, About(**values | {"machines": tuple(values["machines"])}))
        except (TypeError, KeyError) as error:
            msg = f"{path}: not a run of this program: {error}"
            raise RunError(f"{msg}; restore it, or train again") from error

    def noted(self, **changes: object) -> "Run":
        """Return the run with other facts about it, which are written down."""
        about = replace(self.about, **changes)  # type: ignore[arg-type]
        run = Run(self.folder, about)
        run.write(_ABOUT, _json(about))
        return run

    def checkpoints(self, network: str) -> Path:
        """Return the folder of a network's checkpoints."""
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in network)
        return self.folder / "networks" / safe

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the run, whole or not at all."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self.folder / name, content)
        except OSError as error:
            raise RunError(f"{self.folder}: cannot be written: {error.strerror}") from error
        except ModelFileError as error:
            raise RunError(str(error)) from error

    def metrics(self) -> list[dict[str, Any]]:
        """Return the metrics so far; a line that was cut short or is none is left out."""
        found = []
        path = self.folder / _METRICS
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if isinstance(values, dict) and {"network", "epoch"} <= values.keys():
                found.append(values)
        return found

    def add_metrics(self, values: Mapping[str, Any]) -> None:
        """Append a line to the metrics."""
        try:
            with (self.folder / _METRICS).open("a", encoding="utf-8") as opened:
                opened.write(json.dumps(values) + "\n")
        except OSError as error:
            msg = f"{self.folder / _METRICS}: cannot be written: {error.strerror}"
            raise RunError(f"{msg}; free space, then go on with --resume") from error

    def forget_after(self, network: str, epoch: int) -> None:
        """Drop metrics of epochs that a resumed run will train again."""
        kept = [
            each for each in self.metrics() if each["network"] != network or each["epoch"] <= epoch
        ]
        text = "".join(json.dumps(each) + "\n" for each in kept)
        self.write(_METRICS, text.encode())

    def abandon(self) -> None:
        """Remove a new run in which nothing was trained, so that its folder can be used again."""
        if self.metrics():
            return
        for name in ("networks", TENSORBOARD):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (_ABOUT, _METRICS, _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):  # something else lies there
            self.folder.rmdir()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings out of the folder.

        Raises
        ------
        RunError
            If another process trains there, or the folder cannot be locked.
        """
        taken = f"{self.folder}: another training writes there"
        with file_lock(self.folder / _LOCK, RunError, taken):
            yield


def _json(about: About) -> bytes:
    return json.dumps(asdict(about), indent=1, sort_keys=True).encode() + b"\n"


def _digests(initial: Mapping[str, Any] | None) -> list[tuple[str | None, str]]:
    return [(each["network"], each["sha256"]) for each in (initial or {"files": ()})["files"]]


def _short(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        value = list(value)
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
