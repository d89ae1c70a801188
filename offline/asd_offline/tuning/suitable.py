"""Which models are worth trying on a dataset, by its size and its sections."""

from collections import Counter
from collections.abc import Sequence

from asd_offline.datasets.clip import Clip
from asd_offline.replay.plan import QUICKSTART

MIN_CLIPS = {"autoencoder": 20, "spectral_adacos": 60, "stgram_mfn": 200}
"""Normal recordings of a machine from which a trained model is tried."""
NEEDS_SECTIONS = frozenset({"stgram_mfn"})
"""Models that learn to distinguish the sections of a machine, without other pseudo-labels."""
WITHOUT_TRAINING = (QUICKSTART, "modulation_knn", "twfr_gmm")


def suitable_models(clips: Sequence[Clip]) -> tuple[tuple[str, ...], list[str]]:
    """Return the models to try, and why others are not tried, one sentence each.

    Parameters
    ----------
    clips
        Training clips of all machines.
    """
    fewest = min(Counter(clip.machine for clip in clips).values())
    sections = min(
        len({clip.section for clip in clips if clip.machine == machine})
        for machine in {clip.machine for clip in clips}
    )
    models, notes = [*WITHOUT_TRAINING], []
    for model, needed in MIN_CLIPS.items():
        if fewest < needed:
            notes.append(f"{model} is not tried: it takes {needed} recordings, found {fewest}")
        elif model in NEEDS_SECTIONS and sections < 2:
            notes.append(f"{model} is not tried: it takes several ids or sections of a machine")
        else:
            models.append(model)
    return tuple(models), notes
