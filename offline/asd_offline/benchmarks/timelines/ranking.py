"""How well scores rank recordings: the AUC of injected and recorded faults."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.quickstart import Recording
from asd_monitor.records import FloatArray
from asd_monitor.synthesis.faults import FAULTS, FaultContext, add_fault
from asd_offline.benchmarks.timelines.fitted import SAMPLE_RATE_HZ, FittedMachine
from asd_offline.benchmarks.timelines.recordings import RECORDED, Clips, draw_split
from asd_offline.evaluation.metrics import auc
from asd_offline.synth.seeds import derive_seed

LEVELS_DB = (-6.0, -12.0, -18.0)
MAX_CLIPS = 20
"""Each fault is injected into at most this many recordings of a split."""
COLUMNS = ("splits", "AUC of the score", "of the best voice", "best voice")

Clip = npt.NDArray[np.float64]
"""``(1 + voices,)``: mean score of a recording, and mean log score of each voice."""


@dataclass(frozen=True)
class Ranking:
    """Results of one split."""

    voices: tuple[str, ...]
    auc: Mapping[str, npt.NDArray[np.float64]]
    """``(1 + voices,)`` by kind of fault, mean over levels: of the score, and of each voice."""


def measure_split(
    clips: Clips, learn_clips: int, seed: int, kinds: Sequence[str] = tuple(FAULTS)
) -> Ranking:
    """Learn some recordings, drawn by the seed, and rank the others with and without faults."""
    learned, rest, _ = draw_split(clips, learn_clips, seed)
    machine = FittedMachine([Recording(str(index), clips.normal[index]) for index in learned])
    unseen = [clips.normal[index] for index in rest]
    normal = _score(machine, unseen)
    found = {
        kind: np.mean([_auc(normal, _score(machine, faulty)) for faulty in levels], axis=0)
        for kind, levels in _inject(unseen[:MAX_CLIPS], seed, kinds)
    }
    if clips.faulty:
        found[RECORDED] = _auc(normal, _score(machine, clips.faulty))
    assert machine.rule.voices is not None  # noqa: S101 - the quick start has voices
    return Ranking(machine.rule.voices.names, found)


def cells(kind: str, rankings: Sequence[Ranking]) -> list[str]:
    """Return the cells under :data:`COLUMNS` for one kind; the best voice is that of the mean."""
    mean = np.mean([ranking.auc[kind] for ranking in rankings], axis=0)
    best = int(np.argmax(mean[1:]))
    return [
        str(len(rankings)),
        f"{mean[0]:.3f}",
        f"{mean[1 + best]:.3f}",
        rankings[0].voices[best],
    ]


def _inject(
    unseen: Sequence[FloatArray], seed: int, kinds: Sequence[str]
) -> Iterator[tuple[str, Iterator[list[FloatArray]]]]:
    """Yield each kind of fault with its recordings, by level."""
    shaft_hz = float(np.random.default_rng([seed, derive_seed("shaft")]).uniform(12.0, 30.0))
    for kind in kinds:
        yield kind, (_add(unseen, kind, level_db, shaft_hz, seed) for level_db in LEVELS_DB)


def _add(
    unseen: Sequence[FloatArray], kind: str, level_db: float, shaft_hz: float, seed: int
) -> list[FloatArray]:
    """Return recordings with the same fault."""
    faulty = []
    for sound in unseen:
        rng = np.random.default_rng([seed, derive_seed(kind, level_db), 1])
        context = FaultContext(sound.astype(np.float64), SAMPLE_RATE_HZ, shaft_hz, level_db, rng)
        faulty.append(add_fault(kind, context).sound.astype(np.float32))
    return faulty


def _score(machine: FittedMachine, sounds: Sequence[FloatArray]) -> npt.NDArray[np.float64]:
    """Return ``(recordings, 1 + voices)``: means over the windows of each recording."""
    rows: list[Clip] = []
    for sound in sounds:
        windows = [
            (score.value, *score.voices)
            for score in machine.score(sound).scores
            if score.value is not None
        ]
        rows.append(np.mean(windows, axis=0))
    return np.array(rows)


def _auc(
    normal: npt.NDArray[np.float64], faulty: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the AUC of each column."""
    labels = np.repeat([0, 1], [len(normal), len(faulty)])
    columns = np.concatenate([normal, faulty]).T
    return np.array([auc(labels, column) for column in columns])
