"""Recordings at 16 kHz against the same sound from a microphone at 48 kHz: the AUC should be 0.5.

A model that learned recordings monitors a microphone, whose resampler attenuates the highest
frequencies. The sound of recordings that were not learned is therefore converted to 48 kHz, and
back as the sound of a microphone is.
"""

import numpy as np
import numpy.typing as npt
import soxr

from asd_monitor.audio.files import RESAMPLE_QUALITY
from asd_monitor.quickstart import Recording
from asd_monitor.records import FloatArray
from asd_offline.benchmarks.timelines.fitted import SAMPLE_RATE_HZ, FittedMachine
from asd_offline.benchmarks.timelines.recordings import Clips, draw_split
from asd_offline.evaluation.metrics import auc

MICROPHONE_HZ = 48_000
CHUNK_S = 0.5
"""A microphone delivers its sound twice per second."""
COLUMNS = ("recordings", "AUC of the score", "mean over voices", "lowest and highest of a voice")

Values = npt.NDArray[np.float64]


def through_microphone(sound: FloatArray) -> FloatArray:
    """Return ``(n,)`` sound at 16 kHz as a microphone at 48 kHz delivers it."""
    captured = soxr.resample(sound, SAMPLE_RATE_HZ, MICROPHONE_HZ, quality="VHQ")
    resampler = soxr.ResampleStream(MICROPHONE_HZ, SAMPLE_RATE_HZ, 1, quality=RESAMPLE_QUALITY)
    size = round(CHUNK_S * MICROPHONE_HZ)
    chunks = [
        resampler.resample_chunk(captured[start : start + size], last=start + size >= len(captured))
        for start in range(0, len(captured), size)
    ]
    return np.concatenate(chunks)[: len(sound)].astype(np.float32)


def measure_split(clips: Clips, learn_clips: int, seed: int) -> tuple[int, Values]:
    """Learn some normal recordings, and compare the two paths of the others.

    Returns
    -------
    int
        Number of recordings that are compared.
    numpy.ndarray
        ``(1 + voices,)``: AUC of the score, and of each voice.
    """
    learned, rest, _ = draw_split(clips, learn_clips, seed)
    machine = FittedMachine([Recording(str(index), clips.normal[index]) for index in learned])
    direct, captured = [], []
    for index in rest:
        direct.append(_mean_scores(machine, clips.normal[index]))
        captured.append(_mean_scores(machine, through_microphone(clips.normal[index])))
    labels = np.repeat([0, 1], len(rest))
    columns = np.array([*direct, *captured]).T
    return len(rest), np.array([auc(labels, column) for column in columns])


def cells(count: int, found: Values) -> list[str]:
    """Return the cells under :data:`COLUMNS` for one split."""
    voices = found[1:]
    extremes = f"{voices.min():.3f}, {voices.max():.3f}"
    return [str(count), f"{found[0]:.3f}", f"{voices.mean():.3f}", extremes]


def _mean_scores(machine: FittedMachine, sound: FloatArray) -> Values:
    """Return ``(1 + voices,)``: means over the windows of a recording."""
    windows = [
        (score.value, *score.voices)
        for score in machine.score(sound).scores
        if score.value is not None
    ]
    return np.asarray(np.mean(windows, axis=0))
