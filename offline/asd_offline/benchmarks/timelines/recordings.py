"""Real recordings of one machine: reshuffled normal sound, injected and recorded faults."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path

import numpy as np

from asd_monitor.audio.files import AUDIO_SUFFIXES, read_recording
from asd_monitor.audio.label_words import find_labels
from asd_monitor.audio.natural_order import natural_key
from asd_monitor.quickstart import Recording
from asd_monitor.records import FloatArray
from asd_monitor.synthesis.faults import FAULTS, FaultContext, add_fault
from asd_offline.benchmarks.timelines.fitted import SAMPLE_RATE_HZ, FittedMachine, Part
from asd_offline.datasets.clip import ANOMALY
from asd_offline.synth.fault_injection import LEVELS_DB
from asd_offline.synth.seeds import derive_seed
from asd_offline.timeline.outcome import StreamOutcome

NORMAL_LEAD_S = 60.0
RECORDED = "recorded"
"""Label of the faults that are not injected."""


@dataclass(frozen=True, slots=True)
class RecordingsSettings:
    """What is measured on the recordings of one machine."""

    folder: Path
    pattern: str = "*"
    """Names of the recordings, without suffix."""
    learn_clips: int = 30
    splits: int = 10
    seed: int = 100
    """Of the first split; each further split has the next."""
    normal_h: float = 4.0
    """Reshuffled normal sound, over all splits."""
    fault_s: float = 300.0
    kinds: tuple[str, ...] = tuple(FAULTS)
    levels_db: tuple[float, ...] = LEVELS_DB
    orders: int = 4
    """Streams of recorded faults in each split."""


@dataclass(frozen=True, slots=True)
class SplitOutcome:
    """Streams of one split."""

    normal: tuple[StreamOutcome, ...]
    injected: tuple[StreamOutcome, ...]
    """One for each kind and level, labelled with both."""
    recorded: tuple[StreamOutcome, ...]


@dataclass(frozen=True, slots=True)
class Clips:
    """Recordings of a machine, read at 16 kHz."""

    normal: tuple[FloatArray, ...]
    faulty: tuple[FloatArray, ...]


def read_clips(folder: Path, pattern: str = "*") -> Clips:
    """Read all recordings below a folder; those whose name or folder says so are faulty."""
    paths = sorted(
        (path for path in folder.rglob(f"{pattern}.*") if path.suffix.lower() in AUDIO_SUFFIXES),
        key=natural_key,
    )
    normal: list[FloatArray] = []
    faulty: list[FloatArray] = []
    for path in paths:
        names = (*path.relative_to(folder).parts[:-1], path.stem)
        is_faulty = any(ANOMALY in find_labels(name) for name in names)
        (faulty if is_faulty else normal).append(read_recording(path, SAMPLE_RATE_HZ))
    return Clips(tuple(normal), tuple(faulty))


def measure_split(clips: Clips, settings: RecordingsSettings, seed: int) -> SplitOutcome:
    """Learn some normal recordings, drawn by the seed, and play streams of the others.

    Raises
    ------
    ValueError
        If no normal recording is left to be played.
    """
    learned, rest, rng = draw_split(clips, settings.learn_clips, seed)
    machine = FittedMachine([Recording(str(index), clips.normal[index]) for index in learned])
    unseen = [clips.normal[index] for index in rest]
    normal = [machine.score(sound) for sound in unseen]
    return SplitOutcome(
        tuple(_play_normal(machine, normal, settings, rng)),
        tuple(_play_injected(machine, unseen, normal, settings, seed)),
        tuple(_play_recorded(machine, normal, clips.faulty, settings, rng)),
    )


def draw_split(
    clips: Clips, learn_clips: int, seed: int
) -> tuple[list[int], list[int], np.random.Generator]:
    """Draw normal recordings to learn; return their indices, those of the others, the generator.

    Raises
    ------
    ValueError
        If no normal recording is left to be played.
    """
    rng = np.random.default_rng([seed, learn_clips])
    order = [int(index) for index in rng.permutation(len(clips.normal))]
    learned, rest = order[:learn_clips], order[learn_clips:]
    if not rest:
        msg = (
            f"expected more than {learn_clips} normal recordings, found {len(clips.normal)}; "
            "lower --learn-clips"
        )
        raise ValueError(msg)
    return learned, rest, rng


def _play_normal(
    machine: FittedMachine,
    parts: Sequence[Part],
    settings: RecordingsSettings,
    rng: np.random.Generator,
) -> Iterator[StreamOutcome]:
    """Yield one stream: all parts in random order, then in another order, and so on."""
    needed = settings.normal_h * 3600 * SAMPLE_RATE_HZ / settings.splits
    stream: list[Part] = []
    while sum(part.n_samples for part in stream) < needed:
        stream += [parts[index] for index in rng.permutation(len(parts))]
    yield machine.play("reshuffled normals", stream)


def _play_injected(
    machine: FittedMachine,
    unseen: Sequence[FloatArray],
    normal: Sequence[Part],
    settings: RecordingsSettings,
    seed: int,
) -> Iterator[StreamOutcome]:
    """Yield a stream of a minute of normal sound and five of a fault, by kind and level."""
    shaft_hz = float(np.random.default_rng([seed, derive_seed("shaft")]).uniform(12.0, 30.0))
    for kind, level_db in product(settings.kinds, settings.levels_db):
        fault = InjectedFault(kind, level_db, shaft_hz, [seed, derive_seed(kind, level_db)])
        yield play_fault(machine, unseen, normal, fault, settings.fault_s)


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault with the same properties in all recordings."""

    kind: str
    level_db: float
    shaft_hz: float
    seed: list[int]


def play_fault(
    machine: FittedMachine,
    unseen: Sequence[FloatArray],
    normal: Sequence[Part],
    fault: InjectedFault,
    duration_s: float,
) -> StreamOutcome:
    """Play a minute of normal recordings, then others with a fault.

    Parameters
    ----------
    machine
        The fitted machine.
    unseen, normal
        Normal recordings that were not learned, and their scores.
    fault
        The fault.
    duration_s
        Its duration.
    """
    order = np.random.default_rng(fault.seed).permutation(len(unseen))
    indices = cycle(int(index) for index in order)
    lead = list(_take(indices, normal, NORMAL_LEAD_S))
    label = f"{fault.kind} {fault.level_db:g}"
    parts: list[Part] = []
    scored: dict[int, Part] = {}
    for index in _indices(indices, normal, duration_s):
        if index not in scored:
            # The same seed for all recordings: one fault with the same frequencies.
            rng = np.random.default_rng([*fault.seed, 1])
            sound = unseen[index].astype(np.float64)
            context = FaultContext(sound, SAMPLE_RATE_HZ, fault.shaft_hz, fault.level_db, rng)
            faulty = add_fault(fault.kind, context).sound.astype(np.float32)
            scored[index] = machine.score(faulty, label)
        parts.append(scored[index])
    return machine.play(label, [*lead, *parts])


def _play_recorded(
    machine: FittedMachine,
    normal: Sequence[Part],
    faulty: Sequence[FloatArray],
    settings: RecordingsSettings,
    rng: np.random.Generator,
) -> Iterator[StreamOutcome]:
    """Yield streams of a minute of normal sound and five of recorded faults in random order."""
    if not faulty:
        return
    parts = [machine.score(sound, RECORDED) for sound in faulty]
    for _ in range(settings.orders):
        lead = _take(cycle(rng.permutation(len(normal)).tolist()), normal, NORMAL_LEAD_S)
        fault = _take(cycle(rng.permutation(len(parts)).tolist()), parts, settings.fault_s)
        yield machine.play(RECORDED, [*lead, *fault])


def _take(indices: Iterator[int], parts: Sequence[Part], duration_s: float) -> Iterator[Part]:
    for index in _indices(indices, parts, duration_s):
        yield parts[index]


def _indices(indices: Iterator[int], parts: Sequence[Part], duration_s: float) -> Iterator[int]:
    """Yield indices of parts that together last for a time."""
    missing = duration_s * SAMPLE_RATE_HZ
    while missing > 0:
        (index,) = islice(indices, 1)
        missing -= parts[index].n_samples
        yield index
