"""Spectrogram and evidence map of one clip, and the job that computes them."""

import base64
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.files import read_model_input
from asd_monitor.audio.quality import without_offset
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.errors import SourceError
from asd_offline.jobs.pool import Tick
from asd_offline.jobs.result_file import write_result
from asd_offline.replay.jobs import load_cached
from asd_offline.report.sound import audio_data_uri

if TYPE_CHECKING:
    from asd_monitor.model_file.loaded_model import LoadedModel

MAX_COLUMNS = 280
MAX_BANDS = 80
FRAME_S = 0.064
MAX_DRAWN_S = 60.0
"""Only the beginning of a longer clip is drawn."""
FLOOR_DBFS = -120.0
MAX_BATCH = 16

Map = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ClipPicture:
    """Images of a clip."""

    duration_s: float
    max_hz: float
    spectrogram: Map
    """``(bands, columns)`` in dB relative to a full-scale sine; bands evenly spaced in mel."""
    evidence: Map | None
    """``(bands, columns)`` over the same time in the model's own unit; NaN between windows. None
    if the model has no evidence."""
    sound: str = ""
    """The same time as a ``data:`` address; empty without sound."""

    def to_json(self) -> str:
        """Return the picture as text; images are rounded to float16."""
        evidence = None if self.evidence is None else _pack(self.evidence)
        return json.dumps(
            {
                "duration_s": self.duration_s,
                "max_hz": self.max_hz,
                "spectrogram": _pack(self.spectrogram),
                "evidence": evidence,
                "sound": self.sound,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "ClipPicture":
        """Read what :meth:`to_json` returned."""
        values = json.loads(text)
        evidence = None if values["evidence"] is None else _unpack(values["evidence"])
        return cls(
            values["duration_s"],
            values["max_hz"],
            _unpack(values["spectrogram"]),
            evidence,
            values["sound"],
        )


@dataclass(frozen=True, slots=True)
class PictureJob:
    """Compute the picture of one clip."""

    clip: Path
    target: str
    channel: int
    device: str
    model: Path
    result: Path
    """JSON of a :class:`ClipPicture`, or ``null`` if the clip cannot be read any more."""
    trusted_keys: tuple[str, ...] = ()

    @property
    def work(self) -> float:
        """Number of clips."""
        return 1.0

    def run(self, tick: Tick) -> None:
        """Compute the picture and write the result."""
        model = load_cached(self.model, self.device, self.trusted_keys)
        try:
            channels = range(self.channel, self.channel + model.manifest.channels)
            samples = read_model_input(self.clip, model.manifest.sample_rate_hz, channels)
        except SourceError:
            write_result(self.result, "null")
        else:
            rate_hz = model.manifest.sample_rate_hz
            sound = audio_data_uri(first_channel(samples)[: round(MAX_DRAWN_S * rate_hz)], rate_hz)
            picture = replace(compute_picture(samples, model, self.target), sound=sound)
            write_result(self.result, picture.to_json())
        tick(1.0)


def read_picture(path: Path) -> ClipPicture | None:
    """Read the result of a job; None if the clip could not be read."""
    text = path.read_text(encoding="utf-8")
    return None if text == "null" else ClipPicture.from_json(text)


def compute_picture(
    samples: npt.NDArray[np.float32], model: "LoadedModel", target: str
) -> ClipPicture:
    """Compute the picture of a clip, of its first minute if it is longer.

    ``samples`` are ``(n,)``, or ``(channels, n)`` for a model of several channels, of which the
    first is drawn.
    """
    rate_hz = model.manifest.sample_rate_hz
    samples = samples[..., : round(MAX_DRAWN_S * rate_hz)]
    drawn = first_channel(samples)
    return ClipPicture(
        len(drawn) / rate_hz,
        rate_hz / 2,
        mel_spectrogram(drawn, rate_hz),
        evidence_map(samples, model, model.target_index(target)),
    )


def first_channel(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return ``(n,)`` of ``(n,)`` or ``(channels, n)``."""
    return samples if samples.ndim == 1 else np.asarray(samples[0])


def mel_spectrogram(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> Map:
    """Compute a mel spectrogram ``(MAX_BANDS, columns)`` in dB, at most ``MAX_COLUMNS`` wide."""
    from asd_monitor.features import mel_filters

    n_fft = min(2 * round(FRAME_S * sample_rate_hz / 2), len(samples))
    taper = np.hanning(n_fft + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[:: max(n_fft // 2, 1)]
    power = np.abs(np.fft.rfft(frames * (2 / max(taper.sum(), 1e-9) * taper))) ** 2
    filters = mel_filters(
        MAX_BANDS, power.shape[1], sample_rate_hz / n_fft, sample_rate_hz / 2
    ).numpy()
    mel = _average_rows(power @ filters, MAX_COLUMNS).T  # (bands, columns)
    return np.asarray(10 * np.log10(mel + 10 ** (FLOOR_DBFS / 10)), np.float32)


def evidence_map(samples: npt.NDArray[np.float32], model: "LoadedModel", target: int) -> Map | None:
    """Compute the evidence of a clip: that of its windows in a row, averaged where they overlap.

    The evidence of a window may have any number of bands and frames; frames are stretched over
    the window. None if the model has no evidence or the clip no window.
    """
    manifest = model.manifest
    windows = clip_windows(samples, manifest.window_samples, manifest.hop_samples)
    if not model.has_evidence or not len(windows):
        return None
    # Of columns, in samples.
    centres = (np.arange(MAX_COLUMNS) + 0.5) * samples.shape[-1] / MAX_COLUMNS
    total: npt.NDArray[np.float64] | None = None  # (bands, columns)
    count = np.zeros(MAX_COLUMNS)
    for first in range(0, len(windows), MAX_BATCH):
        batch = np.stack(
            [
                np.apply_along_axis(without_offset, -1, window)
                for window in windows[first : first + MAX_BATCH]
            ]
        )
        maps = model.evidence(batch, np.full(len(batch), target))
        if maps is None:
            return None
        for index, evidence in enumerate(maps, start=first):
            # Position of each column within the window: 0 at its start, 1 at its end.
            position = (centres - index * manifest.hop_samples) / manifest.window_samples
            inside = (position >= 0) & (position < 1)
            frames = (position[inside] * evidence.shape[1]).astype(np.int64)
            total = np.zeros((len(evidence), MAX_COLUMNS)) if total is None else total
            total[:, inside] += evidence[:, frames]
            count += inside
    if total is None:
        return None
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, total / count, np.nan)
    return np.asarray(_average_rows(mean, MAX_BANDS), np.float32)


def _average_rows(values: npt.NDArray[Any], max_rows: int) -> npt.NDArray[np.float64]:
    """Average neighbouring rows so that at most ``max_rows`` are left."""
    if len(values) <= max_rows:
        return np.asarray(values, np.float64)
    edges = np.linspace(0, len(values), max_rows + 1).round().astype(np.int64)
    sums = np.add.reduceat(values.astype(np.float64), edges[:-1], axis=0)
    return np.asarray(sums / np.diff(edges)[:, None])


def _pack(values: Map) -> list[Any]:
    packed = base64.b64encode(values.astype("<f2").tobytes()).decode("ascii")
    return [*values.shape, packed]


def _unpack(packed: list[Any]) -> Map:
    rows, columns, text = packed
    values = np.frombuffer(base64.b64decode(text), "<f2").reshape(rows, columns)
    return values.astype(np.float32)
