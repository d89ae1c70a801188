"""Export variants of a module: scripted, frozen, and optimised; verified and timed."""

import io
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from asd_monitor.errors import RunError
from asd_monitor.model_file import script
from asd_monitor.model_file.torchscript import DEPRECATION_TEXT
from asd_offline.models.protocol import DetectorModule, HasEvidence

MAX_DIFFERENCE = 1e-5
"""Between exported and eager scores, relative to scores above 1."""
WARM_UP_ROUNDS = 3
"""The first calls of a variant compile it."""
TIMED_ROUNDS = 15
OTHER_METHODS = ("evidence", "voices", "scores", "localise")
"""Preserved in addition to ``forward`` if a detector has them."""
MAX_EVIDENCE_WINDOWS = 2
"""Evidence can need many passes through a network."""


def export_variants(
    detector: DetectorModule, windows: Tensor, targets: Tensor
) -> "dict[str, torch.jit.ScriptModule]":
    """Return the variants that score as the module does, each as it is after loading.

    Raises
    ------
    RunError
        If even the scripted one scores differently.
    """
    module = script(detector)
    scripted = _reload(module)
    difference = max_difference(detector, scripted, windows, targets)
    if difference > MAX_DIFFERENCE:
        msg = (
            f"the exported module scores differently from the trained one: by {difference:.2g}, "
            f"more than {MAX_DIFFERENCE:g}; please report this with the recipe"
        )
        raise RunError(msg)
    variants = {"scripted": scripted}
    methods = [name for name in OTHER_METHODS if hasattr(scripted, name)]
    # Both work on a copy of the module.
    builders: dict[str, Callable[[], torch.jit.ScriptModule]] = {
        "frozen": lambda: torch.jit.freeze(module, methods),
        "optimized": lambda: torch.jit.optimize_for_inference(module, methods),
    }
    for name, build in builders.items():
        try:
            with _without_deprecation_warning():
                variant = _reload(build())
                is_equal = max_difference(detector, variant, windows, targets) <= MAX_DIFFERENCE
        except RuntimeError:
            continue  # not possible for this module; the scripted variant always is
        # MKL-DNN layouts are for one kind of processor and would not run on a GPU.
        if is_equal and "mkldnn" not in str(variant.inlined_graph):
            variants[name] = variant
    return variants


def max_difference(
    eager: DetectorModule, exported: nn.Module, windows: Tensor, targets: Tensor
) -> float:
    """Return the largest difference of scores and evidence, relative to values above 1."""
    with torch.inference_mode():
        pairs = [(eager(windows, targets), exported(windows, targets))]
        if isinstance(eager, HasEvidence) and isinstance(exported, HasEvidence):
            few = windows[:MAX_EVIDENCE_WINDOWS], targets[:MAX_EVIDENCE_WINDOWS]
            pairs.append((eager.evidence(*few), exported.evidence(*few)))
    differences = []
    for eager_values, exported_values in pairs:
        scale = max(1.0, float(eager_values.abs().max()))
        differences.append(float((eager_values - exported_values).abs().max()) / scale)
    return max(differences)


def time_variants(
    variants: Mapping[str, nn.Module], window: Tensor, target: Tensor
) -> dict[str, float]:
    """Return the median milliseconds per window of each variant, measured in turns."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    with torch.inference_mode():
        for round_number in range(WARM_UP_ROUNDS + TIMED_ROUNDS):
            for name, variant in variants.items():
                started_s = time.perf_counter()
                variant(window, target)
                if round_number >= WARM_UP_ROUNDS:
                    times[name].append(1e3 * (time.perf_counter() - started_s))
    return {name: statistics.median(values) for name, values in times.items()}


def accepts_variable_length(module: nn.Module, windows: Tensor, targets: Tensor) -> bool:
    """Return whether the module scores windows of three quarters of the length, too."""
    try:
        with torch.inference_mode():
            module(windows[..., : windows.shape[-1] * 3 // 4], targets)
    except RuntimeError:
        return False
    return True


def _reload(module: "torch.jit.ScriptModule") -> "torch.jit.ScriptModule":
    buffer = io.BytesIO()
    with _without_deprecation_warning():
        torch.jit.save(module, buffer)
        buffer.seek(0)
        loaded = torch.jit.load(buffer)  # type: ignore[no-untyped-call]
    return cast("torch.jit.ScriptModule", loaded.eval())


@contextmanager
def _without_deprecation_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=DEPRECATION_TEXT)
        yield
