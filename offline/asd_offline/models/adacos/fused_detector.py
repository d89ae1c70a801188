"""An embedding and statistical feature groups, scored separately and fused to one score.

A network trained to classify machines may ignore what a fault changes; the feature groups need no
labels and miss other faults. Each is scored by local densities, standardised on left-out normal
sound, and the scores are fused so that the largest one dominates (log-mean-exp).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from asd_monitor.errors import DatasetError
from asd_monitor.features import FEATURE_GROUP_NAMES, FeatureGroups
from asd_monitor.quickstart.fusion import FusedScores, Fusion, fit_fusion
from asd_monitor.quickstart.group_scores import BACKENDS_PER_GROUP, TargetScorer, fit_group
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.models.adacos.branches import Branches
from asd_offline.models.adacos.fine_features import FRAME_MEAN_GROUP_NAMES
from asd_offline.models.adacos.joint_features import ALL_GROUP_NAMES, JointFeatures
from asd_offline.models.adacos.normal_features import (
    NormalFeatures,
    block_diagonal,
    compute_normal_features,
    transfer_from_other_targets,
)
from asd_offline.models.adacos.within_class_projection import (
    ProjectedGroups,
    ProjectedScorer,
    fit_within_class_projection,
)
from asd_offline.models.protocol import DetectorModule
from asd_offline.recipes import Recipe

FOLDS = 10
MIN_WINDOWS = 40
"""Targets with fewer windows borrow from others: 10 to 20 clips gain by it, 40 do not."""


class FusedDetector(DetectorModule):
    """Waveform to score, with backends for every feature group and embedding of each target.

    Parameters
    ----------
    front
        Waveform to feature groups and embeddings.
    scorers, fusions
        One of each for every target.
    """

    def __init__(
        self, front: JointFeatures, scorers: Sequence[ProjectedScorer], fusions: Sequence[Fusion]
    ) -> None:
        super().__init__()
        self.front = front
        self.fused_scores = FusedScores(scorers, fusions)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        return self.voices(waveform, target)[:, 0]

    @torch.jit.export
    def voices(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, 1 + voices)``: the score and the log scores that it is fused from."""
        scores: Tensor = self.fused_scores(self.front(waveform), target)
        return scores


def fit_fused_detector(
    members: Sequence[Branches],
    targets: Sequence[Target],
    recipe: Recipe,
    cache: FeatureCache,
    *,
    fine: bool,
) -> FusedDetector:
    """Fit the scores of all feature groups and embeddings, and their fusion, for each target.

    A target with few windows borrows from the machine's other ids or sections, see
    :func:`transfer_from_other_targets`.

    Parameters
    ----------
    members
        Trained networks.
    targets
        In the order of the detector's ``target`` argument.
    recipe
        Sample rate, window and hop.
    cache
        Cache of the clips' samples.
    fine
        Whether to add the fine and the projected feature groups.

    Raises
    ------
    DatasetError
        If a target has too few clips that are not silent.
    """
    groups = FeatureGroups(recipe.sample_rate_hz, recipe.window_samples)
    front = JointFeatures(groups, members, fine=fine)
    device = next(members[0].parameters()).device
    front.eval().to(device)
    normal_by_target = [
        compute_normal_features(front, target.clips, recipe, cache, device) for target in targets
    ]
    scorers, fusions = [], []
    for target, normal in zip(targets, normal_by_target, strict=True):
        projected = _fit_projections(normal)
        # The others' windows are projected like the target's, so that deviations are comparable.
        others = [
            replace(other, features=projected(other.features))
            for other_target, other in zip(targets, normal_by_target, strict=True)
            if other_target.machine == target.machine and other is not normal and len(other)
        ]
        transferred = transfer_from_other_targets(others, MIN_WINDOWS - len(normal))
        extended = replace(normal, features=projected(normal.features))
        scorer, fusion = _fit_target(target, extended, transferred)
        scorers.append(ProjectedScorer(projected, scorer))
        fusions.append(fusion)
    held_out = [
        compute_normal_features(front, target.held_out, recipe, cache, device) for target in targets
    ]
    embedding_scores = BACKENDS_PER_GROUP * len(members)
    fusions = _inflate_embedding_scales(scorers, fusions, held_out, targets, embedding_scores)
    return FusedDetector(front, scorers, fusions).to(device).eval()


def _fit_projections(normal: NormalFeatures) -> ProjectedGroups:
    """Fit a target's within-class projections; none without fine features."""
    indices = [ALL_GROUP_NAMES.index(name) for name in FRAME_MEAN_GROUP_NAMES]
    projections = [
        fit_within_class_projection(index, covariance)
        for index, covariance in zip(indices, normal.frame_covariances, strict=False)
    ]
    return ProjectedGroups(len(ALL_GROUP_NAMES), projections)


def _fit_target(
    target: Target, normal: NormalFeatures, transferred: NormalFeatures | None
) -> tuple[TargetScorer, Fusion]:
    if not len(normal):
        raise _too_few_windows(target, 0)
    try:
        scorer = _fit_scorer(normal.features, normal.exclusion_mask, transferred)
        return scorer, fit_fusion(_cross_validated_scores(normal, transferred))
    except (ValueError, RuntimeError) as error:
        raise _too_few_windows(target, len(normal)) from error


def _too_few_windows(target: Target, windows: int) -> DatasetError:
    return DatasetError(
        f"{target.name}: expected at least three normal clips that are not silent, "
        f"found {windows} windows in {len(target.clips)} clips; record more, or remove clips "
        "that are silent or constant"
    )


def _fit_scorer(
    features: Sequence[Tensor], exclusion_mask: Tensor, transferred: NormalFeatures | None
) -> TargetScorer:
    if transferred is not None:
        features = [
            torch.cat([group, group.mean(0) + deviations])
            for group, deviations in zip(features, transferred.features, strict=True)
        ]
        exclusion_mask = block_diagonal([exclusion_mask, transferred.exclusion_mask])
    # Only the name "level" matters to fit_group; what follows the quick start's groups has none.
    names = [*FEATURE_GROUP_NAMES, *("" for _ in features[len(FEATURE_GROUP_NAMES) :])]
    return TargetScorer(
        [
            fit_group(name, group, exclusion_mask)
            for name, group in zip(names, features, strict=True)
        ]
    )


def _cross_validated_scores(normal: NormalFeatures, transferred: NormalFeatures | None) -> Tensor:
    """Return ``(windows, scores)``: each window scored without its fold and its exclusions."""
    fold_of_window = torch.from_numpy(normal.folds) % FOLDS
    scores: list[Tensor] = []
    order: list[Tensor] = []
    for fold in range(FOLDS):
        left_out = torch.nonzero(fold_of_window == fold).flatten()
        if not len(left_out):
            continue
        # A window close in time to a left-out one would score it as its near copy.
        retained = torch.nonzero(~normal.exclusion_mask[left_out].any(0)).flatten()
        features = [group[retained] for group in normal.features]
        scorer = _fit_scorer(features, normal.exclusion_mask[retained][:, retained], transferred)
        scores.append(scorer([group[left_out] for group in normal.features]))
        order.append(left_out)
    return torch.cat(scores)[torch.cat(order).argsort()]


def _inflate_embedding_scales(
    scorers: Sequence[ProjectedScorer],
    fusions: Sequence[Fusion],
    held_out: Sequence[NormalFeatures],
    targets: Sequence[Target],
    embedding_scores: int,
) -> list[Fusion]:
    """Scale the embeddings' scores by their spread on clips that the network has not seen.

    A window left out of the bank is still a training window of the network, whose embeddings
    spread less on training clips than on any others. Each of the last ``embedding_scores`` scores
    gets one factor per machine, at least 1: the root mean square of its standardised scores on the
    held-out windows of all its ids.
    """
    squares: dict[str, list[Tensor]] = defaultdict(list)
    for scorer, fusion, windows, target in zip(scorers, fusions, held_out, targets, strict=True):
        if len(windows):
            standardised = (scorer(windows.features) - fusion.centre) * fusion.inverse_scale
            squares[target.machine].append(standardised.square())
    inflated = []
    for fusion, target in zip(fusions, targets, strict=True):
        scale = fusion.inverse_scale.reciprocal()
        if target.machine in squares:
            factor = torch.cat(squares[target.machine]).mean(0).sqrt().clamp_min(1.0)
            factor[:-embedding_scores] = 1.0
            scale = scale * factor
        inflated.append(Fusion(fusion.centre, scale))
    return inflated
