"""Export: the file scores as the trained network does, and problems are reported."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from asd_monitor.errors import DatasetError, ModelFileError, RunError
from asd_monitor.model_file import load
from asd_offline.datasets.loading import open_dataset
from asd_offline.datasets.targets import plan_targets
from asd_offline.export.export import Exported, export
from asd_offline.models.autoencoder.detector import (
    AutoencoderDetector,
    MeanSquaredError,
    Residuals,
)
from asd_offline.models.autoencoder.network import ReconstructionLoss
from asd_offline.models.protocol import DetectorModule
from asd_offline.recipes import resolve
from asd_offline.training.checkpoints import latest_checkpoint, list_checkpoints
from asd_offline.training.run import train
from tests.offline.small_sounds import (
    CPU,
    RATE_HZ,
    FakeProgress,
    hum,
    make_set,
    request,
    small_recipe,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run and return the folder of the run and its dataset."""
    folder = tmp_path_factory.mktemp("trained")
    dataset = make_set(folder / "set", ("fan", "pump"), ("00", "02"), clips=12)
    train(request(folder, dataset, checkpoint_interval_s=60.0), CPU, FakeProgress())
    return folder


@pytest.fixture(scope="module")
def exported(folder: Path) -> Exported:
    return export(folder / "run", folder / "model.asd", folder / "cache")


def test_the_files_scores_are_those_of_the_eager_network(folder: Path, exported: Exported) -> None:
    model = load(exported.path)
    recipe, _ = resolve(small_recipe(), open_dataset(folder / "set").clips)
    network = ReconstructionLoss(small_recipe())
    checkpoint = latest_checkpoint(folder / "run" / "networks" / "pump")
    assert checkpoint is not None
    network.load_state_dict(checkpoint["weights"])
    residuals = Residuals(small_recipe(), [network.autoencoder], [0])
    eager = AutoencoderDetector(residuals, MeanSquaredError()).eval()
    windows = np.stack([hum(seed, 640.0) for seed in range(5)])
    assert windows.shape[1] == recipe.window_samples
    with torch.inference_mode():
        expected = eager(torch.from_numpy(windows), torch.zeros(5, dtype=torch.int64)).numpy()
    index = model.target_index("pump/id_00")
    np.testing.assert_allclose(model.score(windows, np.full(5, index)), expected, rtol=2e-5)
    assert exported.parity <= 1e-5


def test_the_fastest_form_is_chosen_and_all_are_reported(exported: Exported) -> None:
    assert exported.form in exported.milliseconds
    assert "scripted" in exported.milliseconds
    description = exported.manifest.description
    assert description["form"] == exported.form
    assert description["length_agnostic"] is True


def test_every_target_is_calibrated_on_its_held_out_clips(exported: Exported) -> None:
    manifest = exported.manifest
    assert manifest.targets == ("fan/id_00", "fan/id_02", "pump/id_00", "pump/id_02")
    assert {
        name: calibration.count for name, calibration in manifest.calibrations.items()
    } == dict.fromkeys(manifest.targets, 3)
    assert all(
        calibration.normal_range and calibration.normal_range.segments == 3
        for calibration in manifest.calibrations.values()
    )
    assert set(manifest.thresholds) == set(manifest.targets)
    assert manifest.training["recordings"] == 36


def test_held_out_clips_are_never_in_training(folder: Path) -> None:
    for target in plan_targets(open_dataset(folder / "set").select(split="train")):
        held_out = {clip.path for clip in target.held_out}
        assert len(held_out) == 3
        assert not held_out & {clip.path for clip in target.clips}
        assert len(target.clips) == 9


def test_a_machine_can_be_exported_alone(folder: Path) -> None:
    alone = export(folder / "run", folder / "fan.asd", folder / "cache", machines=["fan"])
    assert alone.manifest.targets == ("fan/id_00", "fan/id_02")
    with pytest.raises(DatasetError, match="no machine 'valve'; it has: fan, pump"):
        export(folder / "run", folder / "x.asd", folder / "cache", machines=["valve"])


def test_the_file_loads_without_the_offline_half(exported: Exported) -> None:
    code = (
        "import sys; sys.modules['asd_offline'] = None\n"
        "from asd_monitor.model_file import load\n"
        "print(load(sys.argv[1], 'cpu').manifest.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(exported.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "autoencoder"


def test_an_unfinished_run_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, folder / "set"), CPU, FakeProgress(stop_at_epoch=2))
    with pytest.raises(RunError, match=r"network fan is trained for 2 of 4 epochs.*--resume"):
        export(tmp_path / "run", tmp_path / "model.asd", tmp_path / "cache")
    assert not (tmp_path / "model.asd").exists()


def test_changed_or_missing_data_is_refused(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    train(request(tmp_path, dataset), CPU, FakeProgress())
    changed = dataset / "fan/train/normal_id_00_00000000.wav"
    soundfile.write(changed, hum(77, 300.0), RATE_HZ)
    with pytest.raises(DatasetError, match=r"not those that .* was trained on \(the contents"):
        export(tmp_path / "run", tmp_path / "model.asd", tmp_path / "cache")
    changed.unlink()
    with pytest.raises(DatasetError, match=r"found 7 clips, expected 8.*restore them"):
        export(tmp_path / "run", tmp_path / "model.asd", tmp_path / "cache")
    dataset.rename(tmp_path / "moved")
    with pytest.raises(DatasetError, match=r"no longer exists.*--dataset"):
        export(tmp_path / "run", tmp_path / "model.asd", tmp_path / "cache")


def test_the_new_folder_of_moved_data_can_be_given(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    train(request(tmp_path, dataset), CPU, FakeProgress())
    moved = dataset.rename(tmp_path / "moved")
    out = tmp_path / "model.asd"
    assert export(tmp_path / "run", out, tmp_path / "cache", dataset=moved).path.exists()


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    train(request(tmp_path, make_set(tmp_path / "set")), CPU, FakeProgress())
    for path in list_checkpoints(tmp_path / "run" / "networks" / "fan"):
        path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="damaged"):
        export(tmp_path / "run", tmp_path / "model.asd", tmp_path / "cache")


def test_a_file_that_cannot_be_written_is_reported(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be written"):
        export(folder / "run", folder / "missing" / "model.asd", folder / "cache")
    # The temporary file cannot be created either, as on a read-only disk.
    with pytest.raises(ModelFileError, match="cannot be written"):
        export(folder / "run", folder / f"{'x' * 250}.asd", folder / "cache")


def test_a_module_whose_scores_change_on_export_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Shifty(DetectorModule):
        def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
            score = waveform.square().mean(1)
            return score + 1e-4 if torch.jit.is_scripting() else score  # type: ignore[attr-defined]

    model = "asd_offline.models.autoencoder.method.AutoencoderModel.detector"
    monkeypatch.setattr(model, lambda *_: Shifty())
    with pytest.raises(RunError, match="scores differently from the trained one"):
        export(folder / "run", folder / "x.asd", folder / "cache")
    assert not (folder / "x.asd").exists()
