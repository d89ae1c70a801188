"""Fit the parts of one target: its scorers, their fusion, its evidence and its calibration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from asd_monitor.audio.quality import assess, usable_levels_dbfs
from asd_monitor.backends.band_responses import BandResponses
from asd_monitor.calibration import Calibration
from asd_monitor.calibration.blocks import count_effective_windows, number_blocks
from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.calibration.normal_range import NormalRange
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.features import MEL_BANDS, TOP_FRACTION, FeatureGroups, mel_centres_hz
from asd_monitor.modes.fit import adjust_held_out, fit_modes, profiles_of
from asd_monitor.modes.learned import LearnedModes
from asd_monitor.normal_sound.statistics import NormalSound
from asd_monitor.processes.memory import return_freed_memory
from asd_monitor.progress import Progress
from asd_monitor.quickstart.fusion import Fusion, fit_fusion, min_voice_scales
from asd_monitor.quickstart.gain_free import GainFreeScorer, fit_level_gate, fit_target_scorer
from asd_monitor.quickstart.group_scores import (
    BACKENDS_PER_GROUP,
    FILTERED_GROUP_NAMES,
    FUSED_SCORES,
    VOICE_NAMES,
    append_floor_and_bands,
    fit_group_filters,
    fit_group_responses,
    name_responses,
)
from asd_monitor.quickstart.network import BATCH, Evidence
from asd_monitor.quickstart.training_windows import TrainingWindows, evenly_spaced_indices

MAX_BANK_WINDOWS = 1200
EVIDENCE_WINDOWS = 100
NORMAL_SOUND_WINDOWS = 300
MIN_EVIDENCE_STD = 0.23  # 1 dB
MIN_FILTERS_S = 250.0
"""Matched filters of all groups and responses of bands are fitted to at least this much sound: with
100 s they raise false alarms, which the filter of the floor alone does not."""
LEVEL_DIRECTIONS = ("louder", "quieter")
MIN_LEVEL_CHANGE_DB = 1.0
"""Smallest scale of the mean change of a block: 3 dB are a clear change, and 1.5 dB are not."""
GATED_SCORES = 2 * BACKENDS_PER_GROUP + 1
"""Scores of the level and of the prominence, and the common change."""
STAGE = "fit"
SILENCE_DBFS = -120.0


@dataclass(frozen=True)
class SubProgress:
    """Progress of one part of a fit, from ``start`` to ``end`` of the whole."""

    progress: Progress
    start: float = 0.0
    end: float = 1.0

    def part(self, start: float, end: float) -> "SubProgress":
        """Return the progress of a part of this part."""
        length = self.end - self.start
        return SubProgress(self.progress, self.start + start * length, self.start + end * length)

    def update(self, fraction: float) -> None:
        """Report the completed fraction of this part, rising to 1."""
        self.progress.update(STAGE, self.start + fraction * (self.end - self.start), 1.0)


@dataclass(frozen=True)
class FittedTarget:
    """The parts of one target."""

    scorer: GainFreeScorer
    fusion: Fusion
    evidence: Evidence
    calibration: Calibration
    voices: VoiceStatistics | None
    normal_sound: NormalSound
    levels: LearnedLevels | None
    """None where no window has a level."""
    modes: LearnedModes
    level_changes: VoiceStatistics | None
    """Of the changes of level that all bands have in common."""


@dataclass(frozen=True, eq=False, slots=True)
class HeldOutVoices:
    """Voices of held-out windows that are disjoint."""

    scores: Tensor
    """``(n, scores)`` log scores."""
    responses: Tensor
    """``(n, responses)`` of bands."""
    response_names: tuple[str, ...] = ()


def supports_filters(windows: TrainingWindows) -> bool:
    """Return whether there is enough sound for filters of all groups and responses of bands."""
    return float(windows.disjoint.sum()) * windows.window_s >= MIN_FILTERS_S


def fit_target(
    groups: FeatureGroups,
    windows: TrainingWindows,
    progress: SubProgress,
    *,
    with_filters: bool = True,
) -> FittedTarget:
    """Fit the parts of one target on its normal windows.

    The scorer compares with a bank of up to ``MAX_BANK_WINDOWS`` windows. Scales and calibration
    need scores of windows that are not in the bank; cross-validation provides them.

    Parameters
    ----------
    groups
        The features.
    windows
        Of the target.
    progress
        Of this target.
    with_filters
        Whether matched filters of all groups, not only of the floor, and responses of bands are
        fitted as further voices.
    """
    with torch.no_grad():
        features = _compute_features(groups, windows, progress.part(0.0, 0.5))
        excluded = torch.from_numpy(windows.exclusion_mask())
        band_hz = mel_centres_hz(MEL_BANDS, TOP_FRACTION * windows.sample_rate_hz)
        bank = torch.from_numpy(evenly_spaced_indices(len(windows), MAX_BANK_WINDOWS))
        held_out = _cross_validated_scores(
            features, excluded, band_hz, bank, windows.folds(), progress.part(0.5, 0.9)
        )
        disjoint = torch.from_numpy(windows.disjoint)
        gate = fit_level_gate(held_out[disjoint, :GATED_SCORES])
        level, change_db = gate(held_out[:, :GATED_SCORES]), held_out[:, -1]
        held_out = torch.cat([level, held_out[:, GATED_SCORES:-1]], dim=1)
        fusion = fit_fusion(held_out[disjoint, :FUSED_SCORES])
        folds = torch.from_numpy(windows.folds())
        filtered_names = FILTERED_GROUP_NAMES if with_filters else FILTERED_GROUP_NAMES[:1]
        filters, filtered = fit_group_filters(filtered_names, features, bank, excluded, folds)
        return_freed_memory()
        scores = torch.cat([held_out, filtered], dim=1)[disjoint]
        voices = HeldOutVoices(scores, scores[:, :0])
        responses: list[BandResponses] = []
        if with_filters:
            responses, values = _fit_responses(features, windows)
            voices = HeldOutVoices(scores, values, tuple(name_responses(band_hz)))
        scorer = fit_target_scorer(
            [group[bank] for group in features],
            excluded[bank][:, bank],
            band_hz,
            filters,
            responses,
            gate,
        )
        modes, calibration, statistics = _calibrate(voices, fusion, windows)
        level_changes = _fit_level_changes(change_db[disjoint].double().numpy(), windows)
        evidence = _fit_evidence(groups, windows)
    normal_sound = _fit_normal_sound(windows)
    levels = LearnedLevels.fit(usable_levels_dbfs(windows.waveforms))
    progress.update(1.0)
    return FittedTarget(
        scorer,
        fusion,
        evidence,
        calibration,
        statistics,
        normal_sound,
        levels,
        modes,
        level_changes,
    )


def _compute_features(
    groups: FeatureGroups, windows: TrainingWindows, progress: SubProgress
) -> list[Tensor]:
    """Return feature groups, floor and bands of all windows, ``(windows, dims)`` each."""
    batches: list[list[Tensor]] = []
    for start in range(0, len(windows), BATCH):
        waveform = torch.from_numpy(np.stack(windows.waveforms[start : start + BATCH]))
        power, log_mel, fast_power = groups.frames(waveform)
        found = groups.from_frames(power, log_mel, fast_power)
        batches.append(append_floor_and_bands(found, log_mel, groups.mel))
        progress.update(min(1.0, (start + BATCH) / len(windows)))
    return [torch.cat(group) for group in zip(*batches, strict=True)]


def _cross_validated_scores(
    features: Sequence[Tensor],
    excluded: Tensor,
    band_hz: Tensor,
    bank: Tensor,
    folds: np.ndarray,
    progress: SubProgress,
) -> Tensor:
    """Score each fold's windows with a bank that contains neither them nor near copies of them.

    Returns
    -------
    torch.Tensor
        Log scores of the level and of the prominence, and the common change of all bands in dB,
        ``GATED_SCORES`` in all; log scores of all other groups; the common change again.
    """
    scores: list[Tensor | None] = [None] * len(folds)
    fold_count = int(folds.max()) + 1
    for fold in range(fold_count):
        held_out = torch.from_numpy(np.flatnonzero(folds == fold))
        if not len(held_out):
            continue
        rest = bank[~excluded[held_out].any(0)[bank]]
        scorer = fit_target_scorer(
            [group[rest] for group in features], excluded[rest][:, rest], band_hz
        )
        fold_scores = scorer([group[held_out] for group in features])
        for row, score in zip(held_out, fold_scores, strict=True):
            scores[int(row)] = score
        return_freed_memory()
        progress.update((fold + 1) / fold_count)
    return torch.stack([score for score in scores if score is not None])


def _number_blocks(windows: TrainingWindows) -> npt.NDArray[np.int64]:
    """Return the number of the block of each window that is disjoint."""
    disjoint = windows.disjoint
    return number_blocks(windows.session[disjoint], windows.start_s[disjoint], windows.window_s)


def _fit_responses(
    features: Sequence[Tensor], windows: TrainingWindows
) -> tuple[list[BandResponses], Tensor]:
    """Fit the responses of bands; return them, and those of held-out windows that are disjoint."""
    disjoint = torch.from_numpy(windows.disjoint)
    blocks, folds = _number_blocks(windows), windows.folds()[windows.disjoint]
    return fit_group_responses(
        [group[disjoint] for group in features], torch.from_numpy(blocks), torch.from_numpy(folds)
    )


def _calibrate(
    voices: HeldOutVoices, fusion: Fusion, windows: TrainingWindows
) -> tuple[LearnedModes, Calibration, VoiceStatistics | None]:
    """Find the modes; calibrate the fused score and the voices in all of them."""
    session = windows.session[windows.disjoint]
    start_s, window_s = windows.start_s[windows.disjoint], windows.window_s
    fused = fusion(voices.scores)[:, None]
    raw = torch.cat([fused, voices.scores, voices.responses], dim=1).double().numpy()
    modes, adjusted = _fit_modes(windows.take(np.flatnonzero(windows.disjoint)), raw)
    scores, count = adjusted[:, 0], voices.scores.shape[1]
    calibration = Calibration.fit(
        scores,
        NormalRange.fit(scores, session, start_s, window_s),
        count_effective_windows(scores, session, start_s, window_s),
    )
    statistics = VoiceStatistics.fit(
        [*VOICE_NAMES[:count], *voices.response_names],
        adjusted[:, 1:],
        scores,
        session,
        start_s,
        window_s,
        min_voice_scales(count, len(voices.response_names)),
        combined=count,
    )
    return modes, calibration, statistics


def _fit_modes(windows: TrainingWindows, scores: np.ndarray) -> tuple[LearnedModes, np.ndarray]:
    """Return the modes of windows, and their held-out scores ``(n, 1 + voices)`` adjusted."""
    profiles = profiles_of(windows.waveforms, windows.sample_rate_hz)
    levels_dbfs = [assess(waveform).level_dbfs or SILENCE_DBFS for waveform in windows.waveforms]
    modes = fit_modes(
        profiles,
        levels_dbfs,
        windows.session,
        windows.start_s,
        windows.window_s,
        scores,
        windows.confirmed,
    )
    return modes, adjust_held_out(modes, profiles, scores)


def _fit_level_changes(
    change_db: npt.NDArray[np.float64], windows: TrainingWindows
) -> VoiceStatistics | None:
    """Fit the limits of the rule ``level`` to held-out changes of level ``(n,)``."""
    return VoiceStatistics.fit(
        LEVEL_DIRECTIONS,
        np.stack([change_db, -change_db], axis=1),
        np.abs(change_db),
        windows.session[windows.disjoint],
        windows.start_s[windows.disjoint],
        windows.window_s,
        MIN_LEVEL_CHANGE_DB,
    )


def _fit_evidence(groups: FeatureGroups, windows: TrainingWindows) -> Evidence:
    """Fit the mean and the standard deviation of the log-mel frames of normal sound."""
    selected = windows.take(evenly_spaced_indices(len(windows), EVIDENCE_WINDOWS))
    log_mel = [
        groups.log_mel(torch.from_numpy(waveform[None].copy()))[0]
        for waveform in selected.waveforms
    ]
    frames = torch.cat(log_mel)
    std = (frames.var(0, correction=0) + MIN_EVIDENCE_STD**2).sqrt()
    return Evidence(frames.mean(0), std)


def _fit_normal_sound(windows: TrainingWindows) -> NormalSound:
    """Compute the statistics of windows that are spread over all sound."""
    disjoint = windows.take(np.flatnonzero(windows.disjoint))
    selected = disjoint.take(evenly_spaced_indices(len(disjoint), NORMAL_SOUND_WINDOWS))
    return NormalSound.fit(selected.waveforms, windows.sample_rate_hz, windows.window_s)
