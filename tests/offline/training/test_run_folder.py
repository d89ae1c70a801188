"""Training runs: files written, requests refused, and exact resuming."""

import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch

from asd_monitor.errors import ConfigError, DatasetError, RunError, SourceError
from asd_offline.evaluation.clip_scoring import compute_aucs
from asd_offline.training import recorder
from asd_offline.training.checkpoints import latest_checkpoint
from asd_offline.training.distributed import check_device
from asd_offline.training.prepare import PreparedData
from asd_offline.training.run import train
from asd_offline.training.run_folder import Run
from tests.offline.small_sounds import (
    CPU,
    RATE_HZ,
    FakeProgress,
    hum,
    make_set,
    prepared_set,
    request,
    write_recipe,
)
from tests.rig.full_disk import max_file_size


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("dataset") / "set", ("fan", "pump"))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, dataset: Path) -> Run:
    """A finished run; tests must not change it."""
    return train(request(tmp_path_factory.mktemp("finished"), dataset), CPU, FakeProgress())


@pytest.fixture
def finished(tmp_path: Path, uninterrupted: Run) -> Run:
    """A copy of the finished run, in the folder that the requests of tests name."""
    return Run.open(Path(shutil.copytree(uninterrupted.folder, tmp_path / "run")))


def test_a_run_holds_recipe_seed_versions_data_and_metrics(tmp_path: Path, dataset: Path) -> None:
    recipe = write_recipe(tmp_path / "own.yaml", auc_interval_epochs=2)
    run = train(request(tmp_path, dataset, seed=5, recipe=recipe), CPU, FakeProgress())
    metadata = Run.open(run.folder).metadata
    assert (metadata.model, metadata.seed, metadata.machines) == ("autoencoder", 5, ("fan", "pump"))
    assert metadata.recipe["window_s"] == 1.0
    assert metadata.targets == {"fan/id_00": 6, "pump/id_00": 6}
    assert metadata.held_out == {"fan/id_00": 2, "pump/id_00": 2}
    assert len(metadata.fingerprint) == 64
    assert {"torch", "numpy", "asd-monitor"} <= set(metadata.versions)
    lines = run.metrics()
    assert [(line["network"], line["epoch"]) for line in lines] == [
        (name, epoch) for name in ("fan", "pump") for epoch in (1, 2, 3, 4)
    ]
    assert [sorted(line.get("auc", {})) for line in lines[:4]] == [[], ["fan/id_00"]] * 2
    assert lines[3]["loss"] < lines[0]["loss"]
    for picture in ("loss.png", "auc.png"):
        assert (run.folder / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("content", ["too short", "no sound"])
def test_a_test_clip_that_cannot_be_used_does_not_end_the_training(
    tmp_path: Path, content: str
) -> None:
    dataset = make_set(tmp_path / "set")
    clip = dataset / "fan/test/normal_id_00_00000001.wav"
    if content == "too short":
        soundfile.write(clip, hum(1, 300.0, seconds=0.6), RATE_HZ)
    else:
        clip.write_bytes(b"no sound")
    progress = FakeProgress()
    recipe = write_recipe(tmp_path / "own.yaml", auc_interval_epochs=2)
    run = train(request(tmp_path, dataset, recipe=recipe), CPU, progress)
    assert [sorted(line.get("auc", {})) for line in run.metrics()] == [[], ["fan/id_00"]] * 2
    (note,) = [message for message in progress.messages if "cannot be used" in message]
    assert "fan: 1 of 6 test clips" in note
    assert str(clip) in note


def weight_digests(run: Path) -> dict[str, str]:
    """Return a digest of the weights of each network's last checkpoint."""
    digests = {}
    for folder in sorted((run / "networks").iterdir()):
        checkpoint = latest_checkpoint(folder)
        assert checkpoint is not None
        content = b"".join(value.numpy().tobytes() for value in checkpoint["weights"].values())
        digests[folder.name] = sha256(content).hexdigest()
    return digests


def without_times(run: Run) -> list[dict[str, object]]:
    return [
        {key: value for key, value in line.items() if key not in ("seconds", "at")}
        for line in run.metrics()
    ]


def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, dataset: Path, uninterrupted: Run
) -> None:
    parts = tmp_path / "parts"
    for stop in (2, 3):
        training = request(tmp_path, dataset, out=parts, resume=stop > 2)
        with pytest.raises(KeyboardInterrupt):
            train(training, CPU, FakeProgress(stop_at_epoch=stop))
    resumed = train(request(tmp_path, dataset, out=parts, resume=True), CPU, FakeProgress())
    assert weight_digests(parts) == weight_digests(uninterrupted.folder)
    assert without_times(resumed) == without_times(uninterrupted)


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_stop_while_computing_the_auc_loses_no_metrics(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    recipe = write_recipe(tmp_path / "own.yaml", auc_interval_epochs=2)
    changes = {"recipe": recipe, "machines": ("fan",)}
    uninterrupted = train(
        request(tmp_path, dataset, out=tmp_path / "uninterrupted", **changes), CPU, FakeProgress()
    )
    calls = iter(range(1, 9))

    def stop_at_epoch(*args: object) -> object:
        if 2 * next(calls) == epoch:
            raise KeyboardInterrupt
        return compute_aucs(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(recorder, "compute_aucs", stop_at_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, dataset, **changes), CPU, FakeProgress())
    resumed = train(request(tmp_path, dataset, resume=True, **changes), CPU, FakeProgress())
    assert without_times(resumed) == without_times(uninterrupted)


def test_tensorboard_hides_epochs_that_are_trained_again(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    created: list[tuple[str, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            created.append((str(Path(folder).relative_to(tmp_path)), purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None: ...
        def close(self) -> None: ...

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, dataset), CPU, FakeProgress(stop_at_epoch=2))
    train(request(tmp_path, dataset, resume=True), CPU, FakeProgress())
    logs = "run/tensorboard"
    assert created == [(f"{logs}/fan", 1), (f"{logs}/fan", 3), (f"{logs}/pump", 1)]


def test_an_epoch_whose_metrics_are_incomplete_is_trained_again(
    tmp_path: Path, dataset: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, dataset), CPU, FakeProgress(stop_at_epoch=2))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as opened:
        opened.write('[]\nnull\n{"network": "fan", "epo')
    run = train(request(tmp_path, dataset, resume=True), CPU, FakeProgress())
    assert [line["epoch"] for line in run.metrics()] == [1, 2, 3, 4] * 2


def test_a_machine_trains_alone_as_with_the_others(
    tmp_path: Path, dataset: Path, uninterrupted: Run
) -> None:
    pump = train(request(tmp_path, dataset, machines=("pump",)), CPU, FakeProgress())
    assert pump.metadata.machines == ("pump",)
    assert weight_digests(pump.folder)["pump"] == weight_digests(uninterrupted.folder)["pump"]


def test_an_existing_run_is_never_overwritten(tmp_path: Path, dataset: Path, finished: Run) -> None:
    before = weight_digests(finished.folder)
    with pytest.raises(RunError, match=r"holds a training run already; continue it with --resume"):
        train(request(tmp_path, dataset), CPU, FakeProgress())
    assert weight_digests(finished.folder) == before
    with pytest.raises(RunError, match=r"expected a new or empty folder"):
        train(request(tmp_path, dataset, out=dataset), CPU, FakeProgress())


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 1}, "seed: 0 there, 1 now"), ({"epochs": 9}, "epochs: 4 there, 9 now")],
)
@pytest.mark.usefixtures("finished")
def test_resuming_another_run_is_refused(
    tmp_path: Path, dataset: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(RunError, match=message):
        train(request(tmp_path, dataset, resume=True, **change), CPU, FakeProgress())


def test_resuming_on_other_data_is_refused(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    train(request(tmp_path, dataset), CPU, FakeProgress())
    soundfile.write(dataset / "fan/train/normal_id_00_00000000.wav", hum(77, 300.0), RATE_HZ)
    with pytest.raises(
        RunError, match=r"another run \(the contents of training clips have changed"
    ):
        train(request(tmp_path, dataset, resume=True), CPU, FakeProgress())


def test_resuming_without_a_clip_reports_its_target(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set", ("fan", "pump"), ("00", "02", "04"))
    train(request(tmp_path, dataset), CPU, FakeProgress())
    (dataset / "pump/train/normal_id_04_00000000.wav").unlink()
    with pytest.raises(
        RunError, match=r"(training|held-out) clips of pump/id_04: \d there, \d now"
    ):
        train(request(tmp_path, dataset, resume=True), CPU, FakeProgress())


def test_resuming_without_a_run_is_refused(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(RunError, match="no run to resume"):
        train(request(tmp_path, dataset, resume=True), CPU, FakeProgress())


def test_two_trainings_cannot_share_a_folder(tmp_path: Path, dataset: Path, finished: Run) -> None:
    with finished.lock(), pytest.raises(RunError, match="another training writes there"):
        train(request(tmp_path, dataset, resume=True), CPU, FakeProgress())


def test_a_run_stopped_by_a_full_disk_can_be_resumed(
    tmp_path: Path, dataset: Path, uninterrupted: Run
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, dataset), CPU, FakeProgress(stop_at_epoch=2))
    with max_file_size(20_000), pytest.raises(RunError, match=r"--resume"):
        train(request(tmp_path, dataset, resume=True), CPU, FakeProgress())
    train(request(tmp_path, dataset, resume=True), CPU, FakeProgress())
    assert weight_digests(tmp_path / "run") == weight_digests(uninterrupted.folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", r"run.json: damaged"),
        (json.dumps({"format_version": 9}), "expected a run of version 1, found 9"),
        (json.dumps({"format_version": 1, "machines": []}), "not a run of this program"),
        (
            json.dumps({"format_version": 1, "machines": [], "recipe": "x"}),
            "not a run of this program: recipe: expected keys and values, found 'x'",
        ),
    ],
)
def test_a_damaged_or_foreign_run_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=message):
        Run.open(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected the folder of a training run"):
        Run.open(tmp_path / "nowhere")


def test_an_unknown_model_is_refused_with_the_known_ones(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model 'autoencodr'; there are: autoencoder"):
        train(request(tmp_path, dataset, model="autoencodr"), CPU, FakeProgress())


def test_a_missing_machine_is_refused_with_the_nearest_name(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(DatasetError, match=r"no clips of machine pmp.*nearest: pump"):
        train(request(tmp_path, dataset, machines=("pmp",)), CPU, FakeProgress())


@pytest.mark.parametrize("clips", [1, 3])
def test_too_few_clips_are_refused_and_no_folder_is_created(tmp_path: Path, clips: int) -> None:
    dataset = make_set(tmp_path / "set", clips=clips)
    with pytest.raises(DatasetError, match=f"fan/id_00: expected at least 4 .* found {clips}"):
        train(request(tmp_path, dataset), CPU, FakeProgress())
    assert not (tmp_path / "run").exists()


def test_a_dataset_without_training_clips_is_refused(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set", clips=0)
    with pytest.raises(DatasetError, match="expected normal training clips, found 6 clips, all"):
        train(request(tmp_path, dataset), CPU, FakeProgress())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no sound files"):
        train(request(tmp_path, tmp_path / "empty"), CPU, FakeProgress())


def test_silent_clips_are_left_out_and_listed(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    silent = sorted((dataset / "fan/train").iterdir())[2:5]
    for path in silent:
        soundfile.write(path, np.zeros(RATE_HZ), RATE_HZ)
    progress = FakeProgress()
    run = train(request(tmp_path, dataset), CPU, progress)
    assert all(np.isfinite(line["loss"]) for line in run.metrics())
    assert run.metadata.targets["fan/id_00"] + run.metadata.held_out["fan/id_00"] == 5
    names = ", ".join(path.name for path in silent)
    reason = "left out, because silent, stuck or not finite"
    assert f"{reason}: 3 of 8 training clips ({names})" in progress.messages


def test_too_few_clips_with_sound_are_reported_before_training(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set")
    for path in (dataset / "fan/train").iterdir():
        soundfile.write(path, np.zeros(RATE_HZ), RATE_HZ)
    reason = r"fan/id_00: expected at least 4 training clips with sound, found 0: 8 of 8 are silent"
    with pytest.raises(DatasetError, match=rf"{reason}.*normal_id_00_00000000\.wav"):
        train(request(tmp_path, dataset), CPU, FakeProgress())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("content", ["cut short", "not finite", "no sound"])
def test_an_unusable_clip_is_refused_and_training_works_once_it_is_repaired(
    tmp_path: Path, content: str, held_out: bool
) -> None:
    dataset = make_set(tmp_path / "set")
    (target,) = prepared_set(dataset, tmp_path / "cache")[0].targets
    bad = (target.held_out if held_out else target.clips)[0].path
    content_before = bad.read_bytes()
    if content == "cut short":
        bad.write_bytes(content_before[: len(content_before) // 2])
    elif content == "not finite":
        soundfile.write(bad, np.full(RATE_HZ, np.nan, np.float32), RATE_HZ, "FLOAT")
    else:
        soundfile.write(bad, np.zeros(0), RATE_HZ)
    with pytest.raises((SourceError, DatasetError), match=f"{bad.name}: .*; replace it"):
        train(request(tmp_path, dataset), CPU, FakeProgress())
    assert not (tmp_path / "run").exists()
    bad.write_bytes(content_before)
    assert len(train(request(tmp_path, dataset), CPU, FakeProgress()).metrics()) == 4


def test_an_unusable_clip_of_a_later_machine_is_refused_before_any_training(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set", ("fan", "pump"))
    progress = FakeProgress()
    pump = prepared_set(dataset, tmp_path / "cache")[0].networks["pump"]
    bad = pump[0].clips[0].path
    content_before = bad.read_bytes()
    bad.write_bytes(content_before[: len(content_before) // 2])
    with pytest.raises(SourceError, match=f"{bad.name}: cut short"):
        train(request(tmp_path, dataset), CPU, progress)
    assert progress.epochs == []
    assert not (tmp_path / "run").exists()
    bad.unlink()
    assert len(train(request(tmp_path, dataset), CPU, FakeProgress()).metrics()) == 8


def test_a_window_shortened_by_one_clip_is_reported(tmp_path: Path) -> None:
    dataset, progress = make_set(tmp_path / "set"), FakeProgress()
    soundfile.write(
        dataset / "fan/train/normal_id_00_00000003.wav", hum(3, 300.0, seconds=0.5), RATE_HZ
    )
    train(request(tmp_path, dataset), CPU, progress)
    (note,) = progress.messages
    assert "windows of 0.5 s, as long as the shortest clip" in note
    assert "00000003.wav" in note
    assert "half of the clips last 1 s or more" in note


def test_clips_of_several_sample_rates_are_reported(tmp_path: Path) -> None:
    dataset, progress = make_set(tmp_path / "set"), FakeProgress()
    other = dataset / "fan/train/normal_id_00_00000003.wav"
    soundfile.write(other, hum(3, 300.0, 2 * RATE_HZ, 1.1), 2 * RATE_HZ)
    train(request(tmp_path, dataset), CPU, progress)
    assert any("8000 Hz (7 clips), 16000 Hz (1 clips)" in note for note in progress.messages)


def test_the_channel_used_of_several_is_reported(tmp_path: Path) -> None:
    dataset, progress = make_set(tmp_path / "set"), FakeProgress()
    for number in (2, 3):
        stereo = np.stack([hum(number, 300.0), hum(9, 300.0)], axis=1)
        soundfile.write(dataset / f"fan/train/normal_id_00_{number:08d}.wav", stereo, RATE_HZ)
    train(request(tmp_path, dataset), CPU, progress)
    (note,) = progress.messages
    assert note.startswith("2 of 8 training recordings have several channels; only channel 0 ")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("600 GiB"),
              RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")]
)  # fmt: skip
def test_too_little_memory_is_reported_and_the_folder_can_be_used_again(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def too_large(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(PreparedData, "new_task", too_large)
        with pytest.raises(ConfigError, match=r"too little memory.*smaller batch_size"):
            train(request(tmp_path, dataset), CPU, FakeProgress())
    assert train(request(tmp_path, dataset), CPU, FakeProgress()).metrics()


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="--device: expected auto, cpu or cuda, got 'gpu'"):
        check_device("gpu")
