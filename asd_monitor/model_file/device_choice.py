"""What a model needs on a GPU before it is used: first calls, and a comparison with the CPU."""

import statistics
import time
from collections.abc import Callable

import numpy as np

from asd_monitor.model_file.loaded_model import LoadedModel

LARGEST_BATCH = 16
"""Windows of a call of the live monitor, at most."""
FIRST_CALLS = 3
"""Calls after which torch has compiled a program for a batch size."""
TIMED_CALLS = 7
TIMED_BATCHES = (1, LARGEST_BATCH)


def make_first_calls(model: LoadedModel) -> None:
    """Score silence in every batch size, so that no live window waits for a compilation."""
    for batch in range(1, LARGEST_BATCH + 1):
        for _ in range(FIRST_CALLS):
            _score(model, batch)


def choose_faster(
    on_gpu: LoadedModel,
    on_cpu: LoadedModel,
    clock: Callable[[], float] = time.perf_counter,
) -> LoadedModel:
    """Return the model that scores faster: the median time of small and of full batches, added."""
    times_s = [_time_s(model, clock) for model in (on_gpu, on_cpu)]
    return on_gpu if times_s[0] <= times_s[1] else on_cpu


def _time_s(model: LoadedModel, clock: Callable[[], float]) -> float:
    total_s = 0.0
    for batch in TIMED_BATCHES:
        seconds = []
        for _ in range(TIMED_CALLS):
            started_s = clock()
            _score(model, batch)
            seconds.append(clock() - started_s)
        total_s += statistics.median(seconds)
    return total_s


def _score(model: LoadedModel, batch: int) -> None:
    windows = np.zeros((batch, *model.manifest.window_shape), np.float32)
    model.score(windows, np.zeros(batch, np.int64))
