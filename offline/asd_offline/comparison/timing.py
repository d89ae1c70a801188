"""What a window costs on one core, measured when nothing else of the comparison runs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from asd_offline.jobs.result_file import write_result

KEPT = "speed.json"


@dataclass(frozen=True, slots=True)
class Speed:
    """Cost of a model file."""

    milliseconds: float
    """Median time per window on one core of this computer."""
    file_bytes: int


def speed_of(folder: Path) -> Speed | None:
    """Measure the model file in a run's folder, once: it is kept there. None without a file."""
    files = (folder / "model.asd", *sorted((folder / "replay" / "models").glob("*.asd")))
    model = next((each for each in files if each.exists()), None)
    if model is None:
        return None
    try:
        return Speed(**json.loads((folder / KEPT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        pass  # not measured yet
    speed = Speed(_milliseconds(model), model.stat().st_size)
    write_result(folder / KEPT, json.dumps(asdict(speed)) + "\n")
    return speed


def _milliseconds(model: Path) -> float:
    import torch

    from asd_monitor.model_file import load
    from asd_offline.export.variants import milliseconds_of
    from asd_offline.jobs.pool import one_torch_thread

    scorer = load(model, "cpu")
    noise = np.random.default_rng(0).standard_normal((1, scorer.manifest.window_samples))
    window = torch.from_numpy((0.1 * noise).astype(np.float32))
    with one_torch_thread():
        return milliseconds_of({"file": scorer.module}, window, torch.tensor([0]))["file"]
