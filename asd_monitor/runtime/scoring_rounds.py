"""Score the windows of several machines that wait at one time."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from asd_monitor.records import State, Window, WindowScore
from asd_monitor.runtime.pipeline import Pipeline
from asd_monitor.runtime.scoring_threads import ScoringThreads
from asd_monitor.runtime.shared_sound import SharedSound

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector

GROUP_SIZE = 16
"""Results of at most this many windows, of whatever models, are emitted together, ..."""
GROUP_S = 0.05
"""... unless a model is slow: results wait at most about this long for the next ones."""

MAX_BEGUN = 64
"""Batches that a GPU has at one time, at most."""

_RUNNING = frozenset({State.NORMAL, State.WARNING, State.ALARM})
"""States in which a machine may be the origin of a sound in other microphones."""

Batch = tuple["Detector", Sequence[Window]]


def split(windows_of: "Mapping[Detector, Sequence[Window]]") -> Iterator[Batch]:
    """Yield the windows of each detector in batches."""
    for detector, windows in windows_of.items():
        for first in range(0, len(windows), detector.max_batch):
            yield detector, windows[first : first + detector.max_batch]


def score_batches(
    batches: Sequence[Batch], threads: ScoringThreads
) -> Iterator[tuple[Sequence[Window], list[WindowScore]]]:
    """Yield each batch with its scores; those of each detector are in order.

    A GPU receives its batches first, and works on them one after the other, while the CPU scores
    its own. Other threads only call models: quality and scores of a window depend on nothing that
    another window changes before its result is taken here. The batches of one model are called one
    after the other: most of the work of many windows of a cheap model is that of the interpreter,
    for which threads only compete.
    """
    on_gpu = [batch for batch in batches if batch[0].model.is_asynchronous]
    on_cpu = [batch for batch in batches if not batch[0].model.is_asynchronous]
    by_model = groupby(on_cpu, key=itemgetter(0))
    groups = [[partial(model.begin, windows) for _, windows in part] for model, part in by_model]
    called = zip(on_cpu, threads.run(groups), strict=True)
    for first in range(0, max(1, len(on_gpu)), MAX_BEGUN):
        part = on_gpu[first : first + MAX_BEGUN]
        begun = [(windows, detector.begin(windows)) for detector, windows in part]
        for (_, windows), finish in called:  # all of them while the GPU has its first batches
            yield windows, finish()
        for windows, finish in begun:
            yield windows, finish()


class ScoringRounds:
    """Score what the sources of machines deliver; used by one thread.

    Parameters
    ----------
    monotonic
        Clock that never jumps, in seconds.
    workers
        Number of threads that score, including the one that uses this.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, workers: int = 1) -> None:
        self._monotonic = monotonic
        self._threads = ScoringThreads(workers)
        self._shared_sound = SharedSound()

    def close(self) -> None:
        """End the threads that score."""
        self._threads.close()

    def forget(self, machine: str) -> None:
        """Forget a machine that is no longer monitored."""
        self._shared_sound.forget(machine)

    def score(self, pipelines: Mapping[str, Pipeline], machines: Iterable[str]) -> None:
        """Score the new windows of these machines; those of one model share batches.

        Results are emitted in groups, because a score wakes the threads of sinks, which then
        compete with the next model for the interpreter. Groups are small, so that the first results
        do not wait for the last windows.
        """
        windows_of: defaultdict[Detector, list[Window]] = defaultdict(list)
        for machine in machines:
            pipeline = pipelines[machine]
            windows = pipeline.collect()
            if windows and pipeline.detector is not None:
                windows_of[pipeline.detector] += windows
        group: list[tuple[Window, WindowScore]] = []
        began_s = self._monotonic()
        for batch, scores in score_batches(list(split(windows_of)), self._threads):
            group += zip(batch, scores, strict=True)
            if len(group) >= GROUP_SIZE or self._monotonic() - began_s >= GROUP_S:
                self._accept(pipelines, group)
                group, began_s = [], self._monotonic()
        self._accept(pipelines, group)

    def _accept(
        self, pipelines: Mapping[str, Pipeline], group: Sequence[tuple[Window, WindowScore]]
    ) -> None:
        for window, score in group:
            attributed = self._attribute(pipelines, window, score)
            pipelines[score.machine].accept(attributed)

    def _attribute(
        self, pipelines: Mapping[str, Pipeline], window: Window, score: WindowScore
    ) -> WindowScore:
        """Compare an unusual sound with that in the microphones of the other machines."""
        detector = pipelines[window.machine].detector
        if len(pipelines) == 1 or detector is None:
            return score

        def is_running(machine: str) -> bool:
            pipeline = pipelines.get(machine)
            return pipeline is not None and pipeline.state in _RUNNING

        rate_hz = detector.manifest.sample_rate_hz
        return self._shared_sound.attribute(window, score, rate_hz, is_running)
