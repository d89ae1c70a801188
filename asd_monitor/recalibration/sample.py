"""The calibration sample: stretches of normal operation, bounded in size and age, and their file.

The file contains scores and no sound.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.blocks import Blocks, block_windows
from asd_monitor.recalibration.stretches import Stretch
from asd_monitor.storage.durable import make_folder_durably, write_durably

MAX_AGE_S = 14 * 86_400.0
"""Older stretches are removed."""
MAX_BLOCKS = 8_640
"""Blocks that are kept, drawn at random from all within ``MAX_AGE_S``: a day of sound."""
PERIOD_S = 7200.0
"""Stretches of the same two hours are kept or removed together, so that slow changes within them
remain in the sample."""
VERSION = 1
_DIGEST_BYTES = 32


class CalibrationSample:
    """Stretches of normal operation, scored by one model for one target.

    Which stretches are kept is random, and determined by their start: each period of two hours has
    a priority, and those that come first fit into ``MAX_BLOCKS``. Every stretch has therefore the
    same chance, whenever it was added.

    Parameters
    ----------
    model_sha256, target
        The model, and its target, that gave the scores.
    window_s
        Length of the model's windows.
    stretches
        To begin with.
    """

    def __init__(
        self, model_sha256: str, target: str, window_s: float, stretches: Iterable[Stretch] = ()
    ) -> None:
        self.model_sha256 = model_sha256
        self.target = target
        self.window_s = window_s
        self._stretches = sorted(stretches, key=lambda stretch: stretch.start_s)

    def __len__(self) -> int:
        """Return the number of blocks."""
        return sum(map(len, self._stretches))

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """The stretches, oldest first."""
        return tuple(self._stretches)

    @property
    def duration_s(self) -> float:
        """Length of the sound."""
        return len(self) * self._block_s

    @property
    def _block_s(self) -> float:
        return block_windows(self.window_s) * self.window_s

    def add(self, stretch: Stretch, now_s: float | None = None) -> bool:
        """Add a stretch, and remove what is too old or too much; return whether it was kept.

        Parameters
        ----------
        stretch
            The stretch.
        now_s
            Present time, in seconds since the epoch; None: stretches do not age.
        """
        candidates = [each for each in self._stretches if each.start_s != stretch.start_s]
        candidates.append(stretch)
        if now_s is not None:
            candidates = [each for each in candidates if now_s - each.start_s <= MAX_AGE_S]
        blocks, kept = 0, []
        for each in sorted(candidates, key=_priority):
            if blocks + len(each) > MAX_BLOCKS:
                break
            blocks += len(each)
            kept.append(each)
        self._stretches = sorted(kept, key=lambda each: each.start_s)
        return stretch in kept

    def blocks(self) -> Blocks:
        """Return the voices of all blocks."""
        means = np.concatenate([each.voices for each in self._stretches]).astype(np.float64)
        follows = np.concatenate([np.arange(len(each)) > 0 for each in self._stretches])
        first, end_s = 0, -np.inf
        for each in self._stretches:
            follows[first] = abs(each.start_s - end_s) < self._block_s / 2
            first, end_s = first + len(each), each.start_s + len(each) * self._block_s
        return Blocks(means, follows)

    def scores(self) -> npt.NDArray[np.float64]:
        """Return ``(blocks, windows)``: the fused scores of all windows."""
        return np.concatenate([each.scores for each in self._stretches]).astype(np.float64)

    def to_bytes(self) -> bytes:
        """Return the content of a file, from which :meth:`from_bytes` restores the sample."""
        header = {
            "version": VERSION,
            "model_sha256": self.model_sha256,
            "target": self.target,
            "window_s": self.window_s,
            "starts_s": [each.start_s for each in self._stretches],
            "lengths": [len(each) for each in self._stretches],
        }
        arrays = {}
        if self._stretches:
            arrays = {
                "voices": np.concatenate([each.voices for each in self._stretches]),
                "scores": np.concatenate([each.scores for each in self._stretches]),
            }
        buffer = io.BytesIO()
        encoded = np.frombuffer(json.dumps(header).encode(), np.uint8)
        np.savez(buffer, header=encoded, **arrays)  # type: ignore[arg-type]
        content = buffer.getvalue()
        return hashlib.sha256(content).digest() + content

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Restore a sample from :meth:`to_bytes`.

        Raises
        ------
        ValueError
            If the content is damaged or of another version.
        """
        digest, content = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(content).digest() != digest:
            raise ValueError("not a calibration sample, or damaged: its checksum does not match")
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                header = json.loads(file["header"].tobytes())
                if header["version"] != VERSION:
                    raise ValueError(f"expected version {VERSION}, got {header['version']!r}")
                starts, lengths = header["starts_s"], header["lengths"]
                stretches = []
                if starts:
                    voices, scores = file["voices"], file["scores"]
                    stretches = _split(voices, scores, starts, lengths)
                return cls(
                    str(header["model_sha256"]),
                    str(header["target"]),
                    float(header["window_s"]),
                    stretches,
                )
        except (KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"not a calibration sample: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a file; None where there is none.

        Raises
        ------
        ValueError
            If it is damaged.
        OSError
            If it cannot be read.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        return cls.from_bytes(content)

    def write(self, path: Path) -> None:
        """Replace a file atomically; raise OSError if it cannot be written."""
        make_folder_durably(path.parent)
        write_durably(path, self.to_bytes(), mode=0o600)


def _priority(stretch: Stretch) -> tuple[bytes, float]:
    period = int(stretch.start_s // PERIOD_S)
    return hashlib.blake2b(str(period).encode(), digest_size=8).digest(), stretch.start_s


def _split(
    voices: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    starts_s: list[float],
    lengths: list[int],
) -> list[Stretch]:
    are_lengths = all(type(length) is int and length > 0 for length in lengths)
    if not are_lengths or len(starts_s) != len(lengths):
        raise ValueError("lengths: expected one of each stretch")
    for name, values in (("voices", voices), ("scores", scores)):
        if values.ndim != 2 or len(values) != sum(lengths):
            raise ValueError(f"{name}: expected {sum(lengths)} rows, got shape {values.shape}")
        if not np.all(np.isfinite(values)):
            raise ValueError(f"{name}: expected finite numbers")
    ends = np.cumsum(lengths)
    return [
        Stretch(float(start_s), voices[end - length : end], scores[end - length : end])
        for start_s, length, end in zip(starts_s, lengths, ends, strict=True)
    ]
