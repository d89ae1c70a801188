"""Which models are worth trying on a dataset, by its size and its sections."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from asd_offline.datasets.clip import Clip
from asd_offline.replay.plan import QUICKSTART

MIN_CLIPS = {
    "autoencoder": 20,
    "autoencoder_mahalanobis": 20,
    "spectral_adacos": 60,
    "stgram_mfn": 200,
}
"""Normal recordings of a machine from which a trained model is tried."""
NEEDS_SECTIONS = frozenset({"stgram_mfn"})
"""Models that learn to distinguish the sections of a machine, without other pseudo-labels."""
NEEDS_DOMAINS = frozenset({"autoencoder_mahalanobis"})
"""Models that differ from a simpler one only in how they treat the target domain."""
NEEDS_FILE = "pretrained"
"""Model that is tried if the user's recipe names its weights."""
WITHOUT_TRAINING = (QUICKSTART, "modulation_knn", "twfr_gmm")


def suitable_models(
    clips: Sequence[Clip], recipes: Path | None = None
) -> tuple[tuple[str, ...], list[str]]:
    """Return the models to try, and why others are not tried, one sentence each.

    Parameters
    ----------
    clips
        Training clips of all machines.
    recipes
        The user's folder of recipes.
    """
    fewest = min(Counter(clip.machine for clip in clips).values())
    sections = _fewest({(clip.machine, clip.section) for clip in clips})
    domains = _fewest({(clip.machine, clip.domain) for clip in clips})
    models, notes = [*WITHOUT_TRAINING], []
    for model, needed in MIN_CLIPS.items():
        if fewest < needed:
            notes.append(f"{model} is not tried: it takes {needed} recordings, found {fewest}")
        elif model in NEEDS_SECTIONS and sections < 2:
            notes.append(f"{model} is not tried: it takes several ids or sections of a machine")
        elif model in NEEDS_DOMAINS and domains < 2:
            notes.append(f"{model} is not tried: it takes a source and a target domain")
        else:
            models.append(model)
    if recipes is not None and (recipes / f"{NEEDS_FILE}.yaml").exists():
        models.append(NEEDS_FILE)
    else:
        notes.append(f"{NEEDS_FILE} is not tried: it takes --recipes with a {NEEDS_FILE}.yaml")
    return tuple(models), notes


def _fewest(pairs: Collection[tuple[str, str]]) -> int:
    """Return the number of pairs of the machine that has fewest."""
    return min(Counter(machine for machine, _ in pairs).values())
