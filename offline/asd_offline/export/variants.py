"""The forms that a module can be exported in: as scripted, frozen, optimised; checked and timed."""

import io
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from asd_monitor.errors import RunError
from asd_monitor.model_file import script
from asd_monitor.model_file.format import DEPRECATION_TEXT
from asd_offline.models.protocol import HasEvidence

PARITY = 1e-5
"""Largest difference between exported and eager scores, relative to scores above 1."""
TIMED_ROUNDS = 15
OTHER_METHODS = ("evidence", "scores", "localise")
"""Kept beside ``forward`` where a detector has them."""
EVIDENCE_WINDOWS = 2
"""Evidence can take many passes through a network."""


def forms_of(
    detector: nn.Module, windows: Tensor, places: Tensor
) -> "dict[str, torch.jit.ScriptModule]":
    """Return the forms that the module can be exported in, each as it is after loading."""
    scripted = _reloaded(script(detector))
    found = difference(detector, scripted, windows, places)
    if found > PARITY:
        msg = (
            f"the exported module scores differently from the trained one: by {found:.2g}, "
            f"more than {PARITY:g}; please report this with the recipe"
        )
        raise RunError(msg)
    forms = {"scripted": scripted}
    others = [name for name in OTHER_METHODS if hasattr(scripted, name)]
    makers: dict[str, Callable[[], torch.jit.ScriptModule]] = {
        "frozen": lambda: torch.jit.freeze(script(detector), others),
        "optimized": lambda: torch.jit.optimize_for_inference(script(detector), others),
    }
    for name, make in makers.items():
        try:
            with _quiet():
                form = _reloaded(make())
                fits = difference(detector, form, windows, places) <= PARITY
        except RuntimeError:
            continue  # this form is not for this module: the scripted one is always there
        # What is laid out for one kind of processor would not run on a GPU.
        if fits and "mkldnn" not in str(form.inlined_graph):
            forms[name] = form
    return forms


def _reloaded(module: "torch.jit.ScriptModule") -> "torch.jit.ScriptModule":
    buffer = io.BytesIO()
    with _quiet():
        torch.jit.save(module, buffer)
        buffer.seek(0)
        loaded = torch.jit.load(buffer)  # type: ignore[no-untyped-call]
    return cast("torch.jit.ScriptModule", loaded.eval())


def difference(eager: nn.Module, other: nn.Module, windows: Tensor, places: Tensor) -> float:
    """Return the largest difference of scores and evidence, relative to values above 1."""
    largest = 0.0
    with torch.inference_mode():
        pairs = [(eager(windows, places), other(windows, places))]
        if isinstance(eager, HasEvidence) and isinstance(other, HasEvidence):
            few, some = windows[:EVIDENCE_WINDOWS], places[:EVIDENCE_WINDOWS]
            pairs.append((eager.evidence(few, some), other.evidence(few, some)))
    for expected, found in pairs:
        scale = max(1.0, float(expected.abs().max()))
        largest = max(largest, float((expected - found).abs().max()) / scale)
    return largest


def milliseconds_of(
    forms: Mapping[str, nn.Module], window: Tensor, place: Tensor
) -> dict[str, float]:
    """Return the median milliseconds per window of each form, taken in turns."""
    took: dict[str, list[float]] = {name: [] for name in forms}
    with torch.inference_mode():
        for round_ in range(TIMED_ROUNDS + 3):
            for name, form in forms.items():
                began = time.perf_counter()
                form(window, place)
                if round_ >= 3:  # the first ones compile
                    took[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(each) for name, each in took.items()}


def takes_other_lengths(module: nn.Module, windows: Tensor, places: Tensor) -> bool:
    """Return whether the module scores windows of three quarters of the length, too."""
    try:
        with torch.inference_mode():
            module(windows[:, : windows.shape[1] * 3 // 4], places)
    except RuntimeError:
        return False
    return True


class _quiet(warnings.catch_warnings):  # noqa: N801 - used like a function
    def __enter__(self) -> None:
        super().__enter__()
        warnings.filterwarnings("ignore", message=DEPRECATION_TEXT)
