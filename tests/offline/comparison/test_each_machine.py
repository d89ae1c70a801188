"""Machines are compared separately, each with a window as long as its own clips."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor import model_file
from asd_monitor.progress import NoProgress
from asd_offline.comparison import compare
from asd_offline.comparison.run_result import OVERALL
from asd_offline.evaluation.metrics import arithmetic_mean
from asd_offline.leaderboard.documents import read_document
from asd_offline.leaderboard.merge import merge
from asd_offline.leaderboard.page import render_page
from tests.offline.compared_models import RecordedProgress, compare_settings, write_recipes
from tests.offline.small_sounds import RATE_HZ, make_set


def test_every_machine_has_its_own_window_and_the_score_is_that_of_all(tmp_path: Path) -> None:
    make_set(tmp_path / "set", ("fan", "pump"), ("00",), clips=8)
    for path in (tmp_path / "set/pump").rglob("*.wav"):
        sound, _ = soundfile.read(path)
        soundfile.write(path, np.concatenate([sound, sound[: RATE_HZ // 2]]), RATE_HZ, "PCM_16")
    write_recipes(tmp_path / "recipes")
    settings = compare_settings(tmp_path, models=("twfr_gmm",), seeds=1, each_machine=True)
    comparison = compare(settings, NoProgress())
    assert not comparison.failures
    (model,) = comparison.models
    (run,) = model.runs
    windows_s = {}
    for path in run.folder.glob("machine-*/model.asd"):
        manifest, _ = model_file.read_manifest(path)
        windows_s[path.parent.name] = manifest.window_samples / manifest.sample_rate_hz
        assert len(manifest.targets) == 1
    assert windows_s == {"machine-fan": 1.0, "machine-pump": 1.5}
    assert run.result is not None
    assert run.result.clips == 12
    assert model.cost is not None
    parts = [model.metrics[machine, name].mean for machine in ("fan", "pump")
             for name in ("auc", "pauc")]  # fmt: skip
    assert model.metrics[OVERALL, "score"].mean == pytest.approx(arithmetic_mean(parts))

    progress = RecordedProgress()
    again = compare(settings, progress)
    assert "1 of 1 runs are already finished" in progress.messages
    assert json.dumps(again.to_dict()) == json.dumps(comparison.to_dict())

    document = read_document(tmp_path / "out")
    assert document.models[0].each_machine
    together = document.model_copy(
        update={"models": (document.models[0].model_copy(update={"each_machine": False}),)}
    )
    (board,) = merge([(tmp_path / "a", document), (tmp_path / "b", together)])
    assert len(board.entries) == 2
    assert "| `twfr_gmm`, each machine | `" in render_page([board])
