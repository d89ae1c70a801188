"""Features of clips, computed once and then memory-mapped.

Each front end (its settings, code and library versions) has a folder with ``rows.f32``, the feature
rows of all clips one after the other, and ``index.jsonl``, one line per clip. Both are append-only:
an interrupted computation resumes, and a line is written after its rows are on disk. A clip is
identified by path, size and modification time.
"""

import hashlib
import inspect
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from asd_monitor.errors import RunError
from asd_monitor.file_lock import file_lock
from asd_monitor.progress import NoProgress, Progress
from asd_offline.datasets.audio_files import NEAR, read_training_channels
from asd_offline.features import mel

BLOCK_CLIPS = 64
"""Clips that are computed before their rows are written."""
MAX_READERS = 4
BYTES_PER_VALUE = 4


class FrontEnd(Protocol):
    """Converts the samples of a clip to feature rows."""

    sample_rate_hz: int
    dims: int
    """Values of a row."""

    def describe(self) -> dict[str, object]:
        """Return all settings that affect the result, JSON-ready."""

    def __call__(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, rows, dims)`` of ``(batch, samples)``."""


@runtime_checkable
class MultiChannelFrontEnd(Protocol):
    """A front end of several channels; it receives ``(batch, channels, samples)``."""

    channels: tuple[int, ...]
    """Channels of a recording, from 0: two or more."""


def channels_of(front_end: FrontEnd) -> tuple[int, ...]:
    """Return the channels of a recording that a front end uses, by default the first."""
    return front_end.channels if isinstance(front_end, MultiChannelFrontEnd) else NEAR


@dataclass(frozen=True)
class ClipRows:
    """The feature rows of some clips, memory-mapped."""

    rows: Tensor
    """``(all rows, dims)`` float32 of all clips in the cache, to be indexed by ``first``."""
    first: Tensor
    """``(clips,)`` int64: the first row of each clip."""
    count: Tensor
    """``(clips,)`` int64: the number of rows of each clip."""

    def of(self, index: int) -> Tensor:
        """Return the rows ``(count, dims)`` of one clip."""
        start = int(self.first[index])
        return self.rows[start : start + int(self.count[index])]


class FeatureCache:
    """Feature rows of clips, by front end.

    Parameters
    ----------
    folder
        Created if missing. May be deleted at any time between runs.
    progress
        Receives the computation of features.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self.folder = folder
        self._progress = progress or NoProgress()

    def rows(self, paths: Sequence[Path], front_end: FrontEnd) -> ClipRows:
        """Return the rows of clips in the given order, after computing missing ones.

        Raises
        ------
        SourceError
            If a clip cannot be read.
        RunError
            If the folder cannot be written, or the disk is full.
        """
        folder = self.folder / _front_end_key(front_end)
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
            msg = f"{folder}: features cannot be kept there: {error.strerror}"
            raise RunError(f"{msg}; choose another --cache") from error
        spans = torch.tensor([store.index[key] for key in keys]).reshape(-1, 2)
        return ClipRows(store.map(), spans[:, 0], spans[:, 1])

    def fingerprint(self, paths: Sequence[Path], names: Sequence[str]) -> str:
        """Return SHA-256 over the names and contents of clips."""
        digest = hashlib.sha256()
        for path, name in zip(paths, names, strict=True):
            digest.update(name.encode() + b"\0")
            with path.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
        return digest.hexdigest()

    def _compute(self, store: "_Store", missing: Mapping[str, Path], front_end: FrontEnd) -> None:
        """Append the rows of missing clips to the store."""

        channels = channels_of(front_end)

        def features(path: Path) -> Tensor:
            with torch.no_grad():
                read = read_training_channels(path, front_end.sample_rate_hz, channels)
                samples = torch.from_numpy(read)  # (channels, n)
                batch = samples if len(channels) == 1 else samples[None]
                return front_end(batch)[0].contiguous()

        keys = list(missing)
        if not keys:
            return
        self._progress.update("features", 0, len(keys))
        with ThreadPoolExecutor(min(MAX_READERS, os.cpu_count() or 1)) as readers:
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
        """First row and number of rows, by clip."""
        self._end = 0
        self._read_index()

    def append(self, computed: Mapping[str, Tensor]) -> None:
        """Append the rows of clips, and then their index."""
        lines = []
        with self._rows.open("ab") as rows:
            for key, features in computed.items():
                rows.write(features.numpy().astype("<f4", copy=False).tobytes())
                lines.append(json.dumps([key, self._end, len(features)]) + "\n")
                self.index[key] = (self._end, len(features))
                self._end += len(features)
            rows.flush()
            os.fsync(rows.fileno())
        with self._index.open("a", encoding="utf-8") as index:
            index.writelines(lines)

    def map(self) -> Tensor:
        """Return all rows ``(rows, dims)``, memory-mapped."""
        if not self._end:
            return torch.zeros(0, self._dims)
        # "c" (copy on write): torch needs a writable array; the file stays unchanged.
        mapped = np.memmap(self._rows, "<f4", "c", shape=(self._end, self._dims))
        return torch.from_numpy(mapped)

    def _read_index(self) -> None:
        """Read the index up to the first incomplete line, and truncate both files there."""
        available = self._rows.stat().st_size // (BYTES_PER_VALUE * self._dims)
        valid_bytes = 0
        for line in self._index.read_bytes().splitlines(keepends=True):
            try:
                key, first, count = json.loads(line)
            except ValueError:
                break  # writing it was interrupted
            if not line.endswith(b"\n") or first != self._end or first + count > available:
                break
            self.index[key] = (first, count)
            self._end = first + count
            valid_bytes += len(line)
        os.truncate(self._index, valid_bytes)
        os.truncate(self._rows, self._end * BYTES_PER_VALUE * self._dims)


def _front_end_key(front_end: FrontEnd) -> str:
    code = (Path(inspect.getfile(type(front_end))), Path(mel.__file__))
    facts = {
        **front_end.describe(),
        "torch": torch.__version__,
        "code": [hashlib.sha256(path.read_bytes()).hexdigest() for path in code],
    }
    text = json.dumps(facts, sort_keys=True)
    return f"{facts['front_end']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _clip_key(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return f"{path.resolve()}"  # reading it will report the error
    return f"{path.resolve()} {status.st_size} {status.st_mtime_ns}"
