"""Fit the quick-start detector and calibrate it on held-out normal sound."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch

from asd_monitor.calibration.alarm_rate import FALSE_ALARMS_PER_MONTH, exceedance_probability
from asd_monitor.errors import ConfigError
from asd_monitor.features import (
    ENVELOPE_BANDS,
    MEL_BANDS,
    TOP_FRACTION,
    FeatureGroups,
    mel_centres_hz,
)
from asd_monitor.model_file import script
from asd_monitor.model_file.manifest import Json, Manifest, Threshold
from asd_monitor.normal_sound.statistics import NormalSound
from asd_monitor.progress import NoProgress, Progress
from asd_monitor.quickstart.group_scores import GROUP_NAMES
from asd_monitor.quickstart.network import QuickstartDetector
from asd_monitor.quickstart.recording_check import TRAINING_KEY, check_recordings
from asd_monitor.quickstart.target_fit import (
    MAX_BANK_WINDOWS,
    FittedTarget,
    SubProgress,
    fit_target,
    supports_filters,
)
from asd_monitor.quickstart.training_windows import (
    Recording,
    TrainingWindows,
    evenly_spaced_indices,
    frame_recordings,
    usable_duration_s,
)
from asd_monitor.quickstart.window_length import (
    MIN_WINDOW_S,
    MIN_WINDOWS,
    WindowChoice,
    choose_window,
)

MIN_SOUND_S = 20.0
MAX_CALIBRATION_WINDOWS = 4000
HOP_S = 1.0


@dataclass(frozen=True)
class Fitted:
    """A fitted detector, ready for :func:`asd_monitor.model_file.save`."""

    module: torch.jit.ScriptModule
    manifest: Manifest
    normal_sound: Mapping[str, NormalSound]
    """Statistics of the sound that was fitted, by target."""


def fit(
    recordings: Sequence[Recording],
    *,
    target: str,
    sample_rate_hz: int = 16000,
    window_s: float | None = None,
    hop_s: float | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit the detector on normal sound of one machine.

    Parameters
    ----------
    recordings
        Normal sound, 20 s or more in all; more is better.
    target
        Name of the machine.
    sample_rate_hz
        Sample rate.
    window_s
        Length of a window; None: chosen from the machine's cycle.
    hop_s
        Distance between the starts of live windows; None: 1 s.
    progress
        Receives one stage, with a total of 1.

    Raises
    ------
    ConfigError
        If there is too little usable sound.
    """
    return fit_many(
        {target: recordings},
        sample_rate_hz=sample_rate_hz,
        window_s=window_s,
        hop_s=hop_s,
        progress=progress,
    )


def fit_many(
    recordings_by_target: Mapping[str, Sequence[Recording]],
    *,
    sample_rate_hz: int = 16000,
    window_s: float | None = None,
    hop_s: float | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit one model file for several machines, each with its own reference windows.

    All share one window length: the longest of their preferred ones that fits into every
    recording. Parameters and errors are those of :func:`fit`.
    """
    if not recordings_by_target:
        raise ConfigError("expected recordings of at least one machine, got none")
    min_samples = round((window_s or MIN_WINDOW_S) * sample_rate_hz)
    recordings_by_target = {
        target: [recording for recording in recordings if len(recording.samples) >= min_samples]
        for target, recordings in recordings_by_target.items()
    }
    choice = _choose_common_window(recordings_by_target, sample_rate_hz, window_s)
    window_samples = round(choice.window_s * sample_rate_hz)
    groups = FeatureGroups(sample_rate_hz, window_samples).eval()
    sound_by_target = {
        target: _training_windows(target, recordings, window_samples, sample_rate_hz)
        for target, recordings in recordings_by_target.items()
    }
    windows_by_target = {target: _sample(windows) for target, windows in sound_by_target.items()}
    thinned = {
        target: _describe_sample(len(windows_by_target[target]), len(windows))
        for target, windows in sound_by_target.items()
    }
    fitted = _fit_targets(groups, windows_by_target, SubProgress(progress or NoProgress()))
    module = QuickstartDetector(
        groups,
        [target.scorer for target in fitted.values()],
        [target.fusion for target in fitted.values()],
        [target.evidence for target in fitted.values()],
    )
    training = _describe_training(recordings_by_target, sample_rate_hz, thinned)
    hop_samples = min(round((hop_s or HOP_S) * sample_rate_hz), window_samples)
    manifest = _make_manifest(fitted, choice, sample_rate_hz, hop_samples, training)
    normal_sound = {name: target.normal_sound for name, target in fitted.items()}
    return Fitted(script(module), manifest, normal_sound)


def _fit_targets(
    groups: FeatureGroups,
    windows_by_target: Mapping[str, TrainingWindows],
    progress: SubProgress,
) -> dict[str, FittedTarget]:
    """Fit each target; all have the same voices, so that their windows can share a batch."""
    with_filters = all(supports_filters(windows) for windows in windows_by_target.values())
    count = len(windows_by_target)
    return {
        target: fit_target(
            groups,
            windows,
            progress.part(index / count, (index + 1) / count),
            with_filters=with_filters,
        )
        for index, (target, windows) in enumerate(windows_by_target.items())
    }


def _make_manifest(
    fitted: Mapping[str, FittedTarget],
    choice: WindowChoice,
    sample_rate_hz: int,
    hop_samples: int,
    training: dict[str, Json],
) -> Manifest:
    """Return the manifest of the model file, with a threshold for each target."""
    p = exceedance_probability(FALSE_ALARMS_PER_MONTH, choice.window_s)
    calibrations = {name: target.calibration for name, target in fitted.items()}
    voices = {name: target.voices for name, target in fitted.items()}
    changes = {name: target.level_changes for name, target in fitted.items()}
    levels = {name: target.levels for name, target in fitted.items()}
    return Manifest(
        name="quickstart",
        revision="1",
        targets=tuple(fitted),
        sample_rate_hz=sample_rate_hz,
        window_samples=round(choice.window_s * sample_rate_hz),
        hop_samples=hop_samples,
        aggregation="mean",
        calibrations=calibrations,
        voices={name: each for name, each in voices.items() if each is not None},
        level_changes={name: each for name, each in changes.items() if each is not None},
        thresholds={
            name: Threshold(calibration.threshold(p), p, calibration.rule)
            for name, calibration in calibrations.items()
        },
        levels={name: each for name, each in levels.items() if each is not None},
        modes={name: target.modes for name, target in fitted.items()},
        training=training,
        description=_describe(choice, sample_rate_hz),
    )


def _choose_common_window(
    recordings_by_target: Mapping[str, Sequence[Recording]],
    sample_rate_hz: int,
    window_s: float | None,
) -> WindowChoice:
    """Return the given window, or the longest preferred one that fits into every recording."""
    choices = []
    for target, target_recordings in recordings_by_target.items():
        usable_s = usable_duration_s(target_recordings, sample_rate_hz)
        if usable_s < MIN_SOUND_S:
            msg = (
                f"{target}: expected at least {MIN_SOUND_S:g} s of normal sound to learn from, "
                f"found {usable_s:g} s in {len(target_recordings)} recordings (those below "
                f"{MIN_WINDOW_S:g} s and silent, constant or broken parts do not count); record "
                "more, five minutes or longer is advised"
            )
            raise ConfigError(msg)
        choices.append(choose_window(target_recordings, sample_rate_hz))
    if window_s is not None:
        return WindowChoice(window_s, f"Windows of {window_s:g} s, as requested.")
    recordings = chain.from_iterable(recordings_by_target.values())
    shortest_s = min(len(recording.samples) for recording in recordings) / sample_rate_hz
    allowed = [choice for choice in choices if choice.window_s <= shortest_s]
    return max(allowed, key=lambda choice: choice.window_s)


def _training_windows(
    target: str, recordings: Sequence[Recording], window_samples: int, sample_rate_hz: int
) -> TrainingWindows:
    """Cut recordings into half-overlapping windows; disjoint ones if these fill the bank."""
    windows = frame_recordings(recordings, window_samples, window_samples // 2, sample_rate_hz)
    if len(windows) > MAX_BANK_WINDOWS:
        windows = windows.take(np.flatnonzero(windows.disjoint))
    disjoint = int(windows.disjoint.sum())
    if disjoint < MIN_WINDOWS:
        msg = (
            f"{target}: expected normal sound for at least {MIN_WINDOWS} windows of "
            f"{windows.window_s:g} s, found {disjoint}; record more, or choose a shorter window"
        )
        raise ConfigError(msg)
    return windows


def _sample(windows: TrainingWindows) -> TrainingWindows:
    """Return windows that are spread evenly over all sound, so that memory and time are bounded."""
    return windows.take(evenly_spaced_indices(len(windows), MAX_CALIBRATION_WINDOWS))


def _describe_sample(used: int, available: int) -> str:
    """Return how many windows of long recordings are learned from, for the user; empty if all."""
    if used == available:
        return ""
    return (
        f"learned from {used} of {available} windows, spread evenly over all recordings: more "
        "sound is read, but does not make the model larger"
    )


def _describe_training(
    recordings_by_target: Mapping[str, Sequence[Recording]],
    sample_rate_hz: int,
    thinned: Mapping[str, str],
) -> dict[str, Json]:
    digest = hashlib.sha256()
    count, seconds = 0, 0.0
    findings: list[str] = []
    for target, recordings in recordings_by_target.items():
        digest.update(target.encode())
        prefix = f"{target}: " if len(recordings_by_target) > 1 else ""
        sentences = [thinned[target], *check_recordings(recordings, sample_rate_hz)]
        findings += [prefix + text for text in sentences if text]
        for recording in recordings:
            digest.update(recording.name.encode())
            digest.update(np.ascontiguousarray(recording.samples, dtype="<f4").tobytes())
            seconds += len(recording.samples) / sample_rate_hz
            count += 1
    return {
        "fingerprint": digest.hexdigest(),
        "recordings": count,
        "seconds": round(seconds, 3),
        "torch": str(torch.__version__),
        TRAINING_KEY: findings,
    }


def _describe(choice: WindowChoice, sample_rate_hz: int) -> dict[str, Json]:
    centres_hz = mel_centres_hz(MEL_BANDS, TOP_FRACTION * sample_rate_hz)
    return {
        "window": choice.reason,
        "cycle_s": choice.cycle_s,
        "views": list(GROUP_NAMES),
        "envelope_bands": ENVELOPE_BANDS,
        "evidence": "deviation of log-mel power from normal, in standard deviations",
        "evidence_bands_hz": [round(float(centre_hz), 1) for centre_hz in centres_hz],
        "evidence_hop_s": 0.032,
    }
