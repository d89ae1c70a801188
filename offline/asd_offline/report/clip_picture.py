"""Pictures of one clip: its spectrogram, and where the model says that its score comes from."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_monitor.errors import SourceError
from asd_offline.jobs.pool import Tick
from asd_offline.replay.jobs import load_scorer, write_result

if TYPE_CHECKING:
    from asd_monitor.model_file.loaded_model import LoadedModel

COLUMNS = 280
BANDS = 80
FRAME_S = 0.064
LONGEST_S = 60.0
"""Of a longer clip, the beginning is shown."""
FLOOR_DBFS = -120.0

Map = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PictureJob:
    """Compute the pictures of one clip."""

    clip: Path
    target: str
    channel: int
    device: str
    model: Path
    result: Path
    """JSON of :class:`ClipPicture`."""

    @property
    def work(self) -> float:
        """In clips."""
        return 1.0

    def run(self, tick: Tick) -> None:
        """Compute, and write the result."""
        from asd_monitor.audio.files import read_recording

        scorer = load_scorer(self.model, self.device)
        manifest = scorer.manifest
        try:
            samples = read_recording(self.clip, manifest.sample_rate_hz, self.channel)
        except SourceError:  # gone since it was scored
            write_result(self.result, "null")
            return
        picture = picture_of(samples, scorer, self.target)
        found = {
            "seconds": picture.seconds,
            "top_hz": picture.top_hz,
            "spectrogram": _pack(picture.spectrogram),
            "evidence": None if picture.evidence is None else _pack(picture.evidence),
        }
        write_result(self.result, json.dumps(found))
        tick(1.0)


@dataclass(frozen=True)
class ClipPicture:
    """What is drawn of a clip."""

    seconds: float
    top_hz: float
    spectrogram: Map
    """``(bands, columns)`` in dB relative to a full-scale sine; bands evenly spaced in mel."""
    evidence: Map | None
    """``(bands, columns)`` over the same time, in the model's own unit; NaN where no window is."""


def picture_of(samples: npt.NDArray[np.float32], scorer: "LoadedModel", target: str) -> ClipPicture:
    """Return the pictures of a clip ``(samples,)``, or of its first minute."""
    rate_hz = scorer.manifest.sample_rate_hz
    samples = samples[: round(LONGEST_S * rate_hz)]
    return ClipPicture(
        len(samples) / rate_hz,
        rate_hz / 2,
        mel_spectrogram(samples, rate_hz),
        evidence_map(samples, scorer, scorer.target_index(target)),
    )


def read_picture(path: Path) -> ClipPicture | None:
    """Read what a job wrote; None if the clip could not be read."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if found is None:
        return None
    evidence = found["evidence"]
    return ClipPicture(
        found["seconds"],
        found["top_hz"],
        _unpack(found["spectrogram"]),
        None if evidence is None else _unpack(evidence),
    )


def mel_spectrogram(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> Map:
    """Return ``(BANDS, columns)`` in dB, with at most ``COLUMNS`` columns."""
    from asd_monitor.features import mel_filters

    n_fft = min(2 * round(FRAME_S * sample_rate_hz / 2), len(samples))
    taper = np.hanning(n_fft + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[:: max(n_fft // 2, 1)]
    power = np.abs(np.fft.rfft(frames * (2 / max(taper.sum(), 1e-9) * taper))) ** 2
    filters = mel_filters(BANDS, power.shape[1], sample_rate_hz).numpy()
    mel = _columns(power @ filters, COLUMNS).T
    return np.asarray(10 * np.log10(mel + 10 ** (FLOOR_DBFS / 10)), np.float32)


def evidence_map(
    samples: npt.NDArray[np.float32], scorer: "LoadedModel", target: int, largest_batch: int = 16
) -> Map | None:
    """Return the evidence of a clip's windows, laid side by side; the mean where they overlap.

    Any model's: whatever bands and frames it has are stretched over its window.
    """
    from asd_monitor.audio.windowing import clip_windows

    manifest = scorer.manifest
    windows = clip_windows(samples, manifest.window_samples, manifest.hop_samples)
    if not scorer.has_evidence or not len(windows):
        return None
    columns = (np.arange(COLUMNS) + 0.5) * len(samples) / COLUMNS  # centres, in samples
    total: npt.NDArray[np.float64] | None = None
    heard = np.zeros(COLUMNS)
    for first in range(0, len(windows), largest_batch):
        batch = np.ascontiguousarray(windows[first : first + largest_batch])
        maps = scorer.evidence(batch, np.full(len(batch), target))
        if maps is None:
            return None
        for place, each in enumerate(maps, start=first):
            inside = (columns - place * manifest.hop_samples) / manifest.window_samples
            here = (inside >= 0) & (inside < 1)
            frames = (inside[here] * each.shape[1]).astype(np.int64)
            total = np.zeros((len(each), COLUMNS)) if total is None else total
            total[:, here] += each[:, frames]
            heard += here
    if total is None:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        laid = np.where(heard > 0, total / heard, np.nan)
    return np.asarray(_columns(laid, max(BANDS, 1)), np.float32)


def _columns(values: npt.NDArray[Any], at_most: int) -> npt.NDArray[np.float64]:
    """Average neighbouring rows so that at most so many are left."""
    if len(values) <= at_most:
        return np.asarray(values, np.float64)
    edges = np.linspace(0, len(values), at_most + 1).round().astype(np.int64)
    sums = np.add.reduceat(values.astype(np.float64), edges[:-1], axis=0)
    return np.asarray(sums / np.diff(edges)[:, None])


def _pack(values: Map) -> list[Any]:
    packed = base64.b64encode(values.astype("<f2").tobytes()).decode("ascii")
    return [*values.shape, packed]


def _unpack(packed: list[Any]) -> Map:
    rows, columns, text = packed
    found = np.frombuffer(base64.b64decode(text), "<f2").reshape(rows, columns)
    return found.astype(np.float32)
