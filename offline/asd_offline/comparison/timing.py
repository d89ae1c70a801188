"""Cost of a model file: time per window on one core, and size."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from asd_offline.jobs.result_file import write_result

COST = "cost.json"


@dataclass(frozen=True, slots=True)
class ModelCost:
    """Cost of a model file."""

    milliseconds: float
    """Median time per window on one core of this computer."""
    file_bytes: int


def measure_cost(run: Path) -> ModelCost | None:
    """Measure the model file of a run, or read the result of an earlier measurement.

    Measure when nothing else of the comparison runs.

    Parameters
    ----------
    run
        Folder of the run; the result is written there.

    Returns
    -------
    ModelCost or None
        None if there is no model file.
    """
    patterns = ("model.asd", "replay/models/*.asd", "machine-*/model.asd",
                "machine-*/replay/models/*.asd")  # fmt: skip
    files = [file for pattern in patterns for file in sorted(run.glob(pattern))]
    model = next(iter(files), None)
    if model is None:
        return None
    try:
        return ModelCost(**json.loads((run / COST).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        pass  # not measured yet
    cost = ModelCost(_milliseconds_per_window(model), model.stat().st_size)
    write_result(run / COST, json.dumps(asdict(cost)) + "\n")
    return cost


def _milliseconds_per_window(file: Path) -> float:
    import torch

    from asd_monitor.model_file import load
    from asd_offline.export.variants import time_variants
    from asd_offline.jobs.pool import one_torch_thread

    model = load(file, "cpu")
    noise = np.random.default_rng(0).standard_normal((1, *model.manifest.window_shape))
    window = torch.from_numpy((0.1 * noise).astype(np.float32))
    with one_torch_thread():
        return time_variants({"file": model.module}, window, torch.tensor([0]))["file"]
