"""Features of clips, computed once and memory-mapped ever after.

A folder for each front end (settings, code and library versions) holds ``rows.f32``, the feature
rows of all clips one after the other, and ``index.jsonl``, a line for each clip. Both only grow:
what is interrupted goes on where it was, and a line is written after its rows are on disk. A clip
is known by path, size and time of change.
"""

import hashlib
import inspect
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from asd_monitor.errors import RunError
from asd_monitor.file_lock import file_lock
from asd_monitor.progress import NoProgress, Progress
from asd_offline.datasets.audio_files import read_training_clip

BLOCK_CLIPS = 64
READERS = 4


class FrontEnd(Protocol):
    """What turns a clip into feature rows."""

    sample_rate_hz: int
    dims: int
    """Values of a row."""

    def describe(self) -> dict[str, object]:
        """Return everything that shapes the result, ready for JSON."""

    def __call__(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, rows, dims)`` of ``(batch, samples)``."""


@dataclass(frozen=True)
class ClipRows:
    """The feature rows of some clips, in a file that is mapped into memory."""

    rows: Tensor
    """``(all rows, dims)`` float32, of every clip in the cache: index them by ``first``."""
    first: Tensor
    """``(clips,)`` int64: where a clip's rows begin."""
    count: Tensor
    """``(clips,)`` int64: how many there are."""

    def of(self, index: int) -> Tensor:
        """Return the rows ``(count, dims)`` of one clip."""
        start = int(self.first[index])
        return self.rows[start : start + int(self.count[index])]


class FeatureCache:
    """Feature rows of clips, by front end.

    Parameters
    ----------
    folder
        Where they are kept; made when needed. May be deleted at any time between runs.
    progress
        Receives the computation of features.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self.folder = folder
        self._progress = progress or NoProgress()

    def rows(self, paths: Sequence[Path], front_end: FrontEnd) -> ClipRows:
        """Return the rows of clips in the order given; those not yet known are computed.

        Raises
        ------
        SourceError
            If a clip cannot be read.
        RunError
            If the folder cannot be written, or is full.
        """
        folder = self.folder / _key(front_end)
        keys = [_clip_key(path) for path in paths]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with file_lock(folder / "lock", RunError, "", hint="choose another --cache", wait=True):
                store = _Store(folder, front_end.dims)
                missing = {
                    key: path
                    for key, path in zip(keys, paths, strict=True)
                    if key not in store.index
                }
                self._compute(store, missing, front_end)
                (folder / "front_end.json").write_text(json.dumps(front_end.describe()))
        except OSError as error:
            msg = (
                f"{folder}: features cannot be kept there: {error.strerror}; choose another --cache"
            )
            raise RunError(msg) from error
        places = torch.tensor([store.index[key] for key in keys]).reshape(-1, 2)
        return ClipRows(store.map(), places[:, 0], places[:, 1])

    def fingerprint(self, paths: Sequence[Path], names: Sequence[str]) -> str:
        """Return SHA-256 over the names and contents of clips."""
        digest = hashlib.sha256()
        for path, name in zip(paths, names, strict=True):
            digest.update(name.encode() + b"\0")
            with path.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()

    def _compute(self, store: "_Store", missing: dict[str, Path], front_end: FrontEnd) -> None:
        def features(path: Path) -> Tensor:
            with torch.no_grad():
                samples = torch.from_numpy(read_training_clip(path, front_end.sample_rate_hz))
                return front_end(samples[None])[0].contiguous()

        keys = list(missing)
        if not keys:
            return
        self._progress.update("features", 0, len(keys))
        with ThreadPoolExecutor(min(READERS, os.cpu_count() or 1)) as readers:
            for start in range(0, len(keys), BLOCK_CLIPS):
                block = keys[start : start + BLOCK_CLIPS]
                computed = readers.map(features, [missing[key] for key in block])
                store.append(dict(zip(block, computed, strict=True)))
                self._progress.update("features", start + len(block), len(keys))


class _Store:
    """The two files of one front end."""

    def __init__(self, folder: Path, dims: int) -> None:
        self._rows, self._index, self._dims = folder / "rows.f32", folder / "index.jsonl", dims
        self._rows.touch()
        self._index.touch()
        self.index: dict[str, tuple[int, int]] = {}
        self._end = 0
        self._read_index()

    def _read_index(self) -> None:
        available = self._rows.stat().st_size // (4 * self._dims)
        sound = 0  # bytes of whole lines whose rows are there
        for line in self._index.read_bytes().splitlines(keepends=True):
            try:
                key, first, count = json.loads(line)
            except ValueError:
                break  # the line that was being written when the power went
            if not line.endswith(b"\n") or first != self._end or first + count > available:
                break
            self.index[key] = (first, count)
            self._end = first + count
            sound += len(line)
        os.truncate(self._index, sound)
        os.truncate(self._rows, self._end * 4 * self._dims)

    def append(self, computed: dict[str, Tensor]) -> None:
        lines = []
        with self._rows.open("ab") as rows:
            for key, each in computed.items():
                rows.write(each.numpy().astype("<f4", copy=False).tobytes())
                lines.append(json.dumps([key, self._end, len(each)]) + "\n")
                self.index[key] = (self._end, len(each))
                self._end += len(each)
            rows.flush()
            os.fsync(rows.fileno())
        with self._index.open("a", encoding="utf-8") as index:
            index.writelines(lines)

    def map(self) -> Tensor:
        if not self._end:
            return torch.zeros(0, self._dims)
        # "c": torch wants a writable array; what is written to would stay private to the process.
        mapped = np.memmap(self._rows, "<f4", "c", shape=(self._end, self._dims))
        return torch.from_numpy(mapped)


def _key(front_end: FrontEnd) -> str:
    import torchaudio

    code = Path(inspect.getfile(type(front_end)))
    facts = {
        **front_end.describe(),
        "torch": torch.__version__,
        "torchaudio": torchaudio.__version__,
        "code": hashlib.sha256(code.read_bytes()).hexdigest(),
    }
    text = json.dumps(facts, sort_keys=True)
    return f"{facts['front_end']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _clip_key(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return f"{path.resolve()}"  # the reader says what is wrong with it
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
