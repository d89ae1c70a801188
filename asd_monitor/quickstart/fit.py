"""Fit the quick-start detector and calibrate it on held-out normal sound."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asd_monitor.calibration import Calibration
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.errors import ConfigError
from asd_monitor.features import (
    ENVELOPE_BANDS,
    FEATURE_GROUP_NAMES,
    MEL_BANDS,
    FeatureGroups,
    mel_edges_hz,
)
from asd_monitor.model_file import script
from asd_monitor.model_file.manifest import Json, Manifest, Threshold
from asd_monitor.quickstart.network import (
    Evidence,
    Fusion,
    QuickstartDetector,
    TargetScorer,
    fit_fusion,
    fit_target_scorer,
)
from asd_monitor.quickstart.training_windows import (
    Recording,
    TrainingWindows,
    evenly_spaced_indices,
    frame_recordings,
    usable_duration_s,
)
from asd_monitor.quickstart.window_length import (
    LEAST_WINDOWS,
    SHORTEST_S,
    WindowChoice,
    choose_window,
)

LEAST_SOUND_S = 20.0
BANK_ITEMS_AT_MOST = 1200
CALIBRATION_AT_MOST = 4000
HOP_S = 1.0
THRESHOLD_P = 1e-3
BATCH = 4  # so few windows' spectrograms stay in the processor's cache
EVIDENCE_WINDOWS = 100
LEAST_EVIDENCE_STD = 0.23  # 1 dB

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Fitted:
    """A fitted detector, ready for :func:`asd_monitor.model_file.save`."""

    module: torch.jit.ScriptModule
    manifest: Manifest


@dataclass(frozen=True)
class _Bank:
    """What is fitted for one target."""

    scorer: TargetScorer
    fusion: Fusion
    evidence: Evidence
    calibration: Calibration


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
        Rate of the samples.
    window_s
        Length of a window; chosen from the machine's cycle if None.
    hop_s
        How far apart live windows start; 1 s if None.
    progress
        Called with the part that is done, rising to 1.

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
    """Fit one model file for several machines, each with a bank and a calibration of its own.

    All share one window length: the longest that any of them asks for and all have sound for.
    Parameters and errors are those of :func:`fit`.
    """
    if not recordings_by_target:
        raise ConfigError("expected recordings of at least one machine, got none")
    least_samples = round((window_s or SHORTEST_S) * sample_rate_hz)
    recordings_by_target = {
        target: [each for each in recordings if len(each.samples) >= least_samples]
        for target, recordings in recordings_by_target.items()
    }
    choice = _choose(recordings_by_target, sample_rate_hz, window_s)
    window_samples = round(choice.window_s * sample_rate_hz)
    views = FeatureGroups(sample_rate_hz, window_samples).eval()
    report = progress or (lambda _: None)
    banks: list[_Bank] = []
    for place, (target, recordings) in enumerate(recordings_by_target.items()):
        windows = _training_windows(target, recordings, window_samples, sample_rate_hz)
        banks.append(_fit_bank(views, windows, _part(report, place, len(recordings_by_target))))
    module = QuickstartDetector(
        views,
        [bank.scorer for bank in banks],
        [bank.fusion for bank in banks],
        [bank.evidence for bank in banks],
    )
    calibrations = dict(zip(recordings_by_target, [b.calibration for b in banks], strict=True))
    hop_samples = min(round((hop_s or HOP_S) * sample_rate_hz), window_samples)
    manifest = Manifest(
        name="quickstart",
        revision="1",
        targets=tuple(recordings_by_target),
        sample_rate_hz=sample_rate_hz,
        window_samples=window_samples,
        hop_samples=hop_samples,
        aggregation="mean",
        calibrations=calibrations,
        thresholds={name: _threshold(each) for name, each in calibrations.items()},
        training=_training(recordings_by_target, sample_rate_hz),
        description=_description(choice, sample_rate_hz),
    )
    return Fitted(script(module), manifest)


def _part(progress: Progress, place: int, count: int) -> Progress:
    return lambda done: progress((place + done) / count)


def _choose(
    recordings_by_target: Mapping[str, Sequence[Recording]],
    sample_rate_hz: int,
    window_s: float | None,
) -> WindowChoice:
    """Return the window that was asked for, or the longest that any target wants and all allow."""
    choices = []
    for target, recordings in recordings_by_target.items():
        found_s = usable_duration_s(recordings, sample_rate_hz)
        if found_s < LEAST_SOUND_S:
            msg = (
                f"{target}: expected at least {LEAST_SOUND_S:g} s of normal sound to learn from, "
                f"found {found_s:g} s in {len(recordings)} recordings (those below "
                f"{SHORTEST_S:g} s and silent, constant or broken parts do not count); record "
                "more, five minutes or longer is advised"
            )
            raise ConfigError(msg)
        choices.append(choose_window(recordings, sample_rate_hz))
    if window_s is not None:
        return WindowChoice(window_s, f"Windows of {window_s:g} s, as asked for.")
    together = [each for recordings in recordings_by_target.values() for each in recordings]
    shortest_s = min(len(each.samples) for each in together) / sample_rate_hz
    allowed = [each for each in choices if each.window_s <= shortest_s]
    return max(allowed, key=lambda each: each.window_s)


def _training_windows(
    target: str, recordings: Sequence[Recording], window_samples: int, sample_rate_hz: int
) -> TrainingWindows:
    windows = frame_recordings(recordings, window_samples, window_samples // 2, sample_rate_hz)
    if len(windows) > BANK_ITEMS_AT_MOST:
        windows = windows.take(np.flatnonzero(windows.disjoint))
    disjoint = int(windows.disjoint.sum())
    if disjoint < LEAST_WINDOWS:
        msg = (
            f"{target}: expected normal sound for at least {LEAST_WINDOWS} windows of "
            f"{windows.window_s:g} s, found {disjoint}; record more, or choose a shorter window"
        )
        raise ConfigError(msg)
    return windows.take(evenly_spaced_indices(len(windows), CALIBRATION_AT_MOST))


def _fit_bank(views: FeatureGroups, windows: TrainingWindows, progress: Progress) -> _Bank:
    with torch.no_grad():
        features = _features(views, windows, lambda part: progress(0.5 * part))
        together = torch.from_numpy(windows.exclusion_mask())
        bank = torch.from_numpy(evenly_spaced_indices(len(windows), BANK_ITEMS_AT_MOST))
        held_out = _held_out(
            features, together, bank, windows.folds(), lambda part: progress(0.5 + 0.4 * part)
        )
        disjoint = torch.from_numpy(windows.disjoint)
        fusion = fit_fusion(held_out[disjoint])
        scorer = fit_target_scorer([view[bank] for view in features], together[bank][:, bank])
        calibration = _calibrate(fusion(held_out[disjoint]), windows)
        evidence = _fit_evidence(views, windows)
    progress(1.0)
    return _Bank(scorer, fusion, evidence, calibration)


def _calibrate(scores: Tensor, windows: TrainingWindows) -> Calibration:
    values, apart = scores.double().numpy(), windows.disjoint
    session, start_s = windows.session[apart], windows.start_s[apart]
    return Calibration.fit(values, NormalRange.fit(values, session, start_s, windows.window_s))


def _features(views: FeatureGroups, windows: TrainingWindows, progress: Progress) -> list[Tensor]:
    """Return the views of all windows, ``(windows, dims)`` each."""
    batches: list[list[Tensor]] = []
    for start in range(0, len(windows), BATCH):
        waveform = torch.from_numpy(np.stack(windows.waveforms[start : start + BATCH]))
        batches.append(views(waveform))
        progress(min(1.0, (start + BATCH) / len(windows)))
    return [torch.cat([batch[i] for batch in batches]) for i in range(len(FEATURE_GROUP_NAMES))]


def _fit_evidence(views: FeatureGroups, windows: TrainingWindows) -> Evidence:
    """Fit the mean and spread of the log-mel frames of normal sound."""
    chosen = windows.take(evenly_spaced_indices(len(windows), EVIDENCE_WINDOWS))
    log_mel = [views.log_mel(torch.from_numpy(w[None].copy()))[0] for w in chosen.waveforms]
    frames = torch.cat(log_mel)
    std = (frames.var(0, correction=0) + LEAST_EVIDENCE_STD**2).sqrt()
    return Evidence(frames.mean(0), std)


def _held_out(
    features: Sequence[Tensor],
    together: Tensor,
    bank: Tensor,
    folds: np.ndarray,
    progress: Progress,
) -> Tensor:
    """Return ``(windows, views * 2)``: each window scored without itself and its neighbours."""
    scores: list[Tensor | None] = [None] * len(folds)
    count = int(folds.max()) + 1
    for fold in range(count):
        held = torch.from_numpy(np.flatnonzero(folds == fold))
        if not len(held):
            continue
        kept = bank[~together[held].any(0)[bank]]
        scorer = fit_target_scorer([view[kept] for view in features], together[kept][:, kept])
        for row, score in zip(held, scorer([view[held] for view in features]), strict=True):
            scores[int(row)] = score
        progress((fold + 1) / count)
    return torch.stack([score for score in scores if score is not None])


def _threshold(calibration: Calibration) -> Threshold:
    return Threshold(calibration.threshold(THRESHOLD_P), THRESHOLD_P, calibration.rule)


def _training(
    recordings_by_target: Mapping[str, Sequence[Recording]], sample_rate_hz: int
) -> dict[str, str | int | float]:
    digest = hashlib.sha256()
    recordings, seconds = 0, 0.0
    for target, each in recordings_by_target.items():
        digest.update(target.encode())
        for recording in each:
            digest.update(recording.name.encode())
            digest.update(np.ascontiguousarray(recording.samples, dtype="<f4").tobytes())
            seconds += len(recording.samples) / sample_rate_hz
            recordings += 1
    return {
        "fingerprint": digest.hexdigest(),
        "recordings": recordings,
        "seconds": round(seconds, 3),
        "torch": str(torch.__version__),
    }


def _description(choice: WindowChoice, sample_rate_hz: int) -> dict[str, Json]:
    edges_hz = mel_edges_hz(MEL_BANDS, sample_rate_hz)
    return {
        "window": choice.reason,
        "cycle_s": choice.cycle_s,
        "views": list(FEATURE_GROUP_NAMES),
        "envelope_bands": ENVELOPE_BANDS,
        "evidence": "deviation of log-mel power in units of its normal spread, signed",
        "evidence_bands_hz": [round(float(each), 1) for each in edges_hz[1:-1]],
        "evidence_hop_s": 0.032,
    }
