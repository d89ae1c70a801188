"""Whole runs: what is written, what is refused, and that a run goes on exactly where it stopped."""

import json
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
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("made") / "set", ("fan", "pump"))


def test_a_run_holds_recipe_seed_versions_data_and_metrics(tmp_path: Path, made: Path) -> None:
    recipe = write_recipe(tmp_path / "own.yaml", auc_interval_epochs=2)
    run = train(request(tmp_path, made, seed=5, recipe=recipe), CPU, FakeProgress())
    metadata = Run.open(run.folder).metadata
    assert (metadata.model, metadata.seed, metadata.machines) == ("autoencoder", 5, ("fan", "pump"))
    assert metadata.recipe["window_s"] == 1.0
    assert metadata.targets == {"fan/id_00": 6, "pump/id_00": 6}
    assert metadata.held_out == {"fan/id_00": 2, "pump/id_00": 2}
    assert len(metadata.fingerprint) == 64
    assert {"torch", "torchaudio", "numpy", "asd-monitor"} <= set(metadata.versions)
    lines = run.metrics()
    assert [(each["network"], each["epoch"]) for each in lines] == [
        (name, epoch) for name in ("fan", "pump") for epoch in (1, 2, 3, 4)
    ]
    assert [sorted(each.get("auc", {})) for each in lines[:4]] == [[], ["fan/id_00"]] * 2
    assert lines[3]["loss"] < lines[0]["loss"]
    for picture in ("loss.png", "auc.png"):
        assert (run.folder / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("content", ["too short", "no sound"])
def test_a_test_clip_that_cannot_be_used_does_not_end_the_training(
    tmp_path: Path, content: str
) -> None:
    made = make_set(tmp_path / "set")
    clip = made / "fan/test/normal_id_00_00000001.wav"
    if content == "too short":
        soundfile.write(clip, hum(1, 300.0, seconds=0.6), RATE_HZ)
    else:
        clip.write_bytes(b"no sound")
    show = FakeProgress()
    recipe = write_recipe(tmp_path / "own.yaml", auc_interval_epochs=2)
    run = train(request(tmp_path, made, recipe=recipe), CPU, show)
    assert [sorted(each.get("auc", {})) for each in run.metrics()] == [[], ["fan/id_00"]] * 2
    told = [note for note in show.messages if "cannot be used" in note]
    assert len(told) == 1
    assert "fan: 1 of 6 test clips" in told[0]
    assert str(clip) in told[0]


def weights(run: Path) -> dict[str, str]:
    """Return a digest of the weights of each network's last checkpoint."""
    found = {}
    for each in sorted((run / "networks").iterdir()):
        kept = latest_checkpoint(each)
        assert kept is not None
        values = b"".join(value.numpy().tobytes() for value in kept["weights"].values())
        found[each.name] = sha256(values).hexdigest()
    return found


def without_times(run: Run) -> list[dict[str, object]]:
    return [{k: v for k, v in m.items() if k not in ("seconds", "at")} for m in run.metrics()]


def test_a_run_stopped_anywhere_and_resumed_is_the_run_without_stops(
    tmp_path: Path, made: Path
) -> None:
    whole = train(request(tmp_path, made, out=tmp_path / "whole"), CPU, FakeProgress())
    parts = tmp_path / "parts"
    for stop in (2, 3):
        asked = request(tmp_path, made, out=parts, resume=stop > 2)
        with pytest.raises(KeyboardInterrupt):
            train(asked, CPU, FakeProgress(stop_at_epoch=stop))
    resumed = train(request(tmp_path, made, out=parts, resume=True), CPU, FakeProgress())
    assert weights(parts) == weights(whole.folder)
    assert without_times(resumed) == without_times(whole)


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_stop_while_the_auc_is_computed_loses_no_line_of_the_metrics(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    recipe = write_recipe(tmp_path / "own.yaml", auc_interval_epochs=2)
    asked = {"recipe": recipe, "machines": ("fan",)}
    whole = train(request(tmp_path, made, out=tmp_path / "whole", **asked), CPU, FakeProgress())
    computed, calls = compute_aucs, iter(range(1, 9))

    def stopped(*args: object) -> object:
        if 2 * next(calls) == epoch:
            raise KeyboardInterrupt
        return computed(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(recorder, "compute_aucs", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, made, **asked), CPU, FakeProgress())
    resumed = train(request(tmp_path, made, resume=True, **asked), CPU, FakeProgress())
    assert without_times(resumed) == without_times(whole)


def test_tensorboard_hides_epochs_that_are_trained_again(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[tuple[str, int]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            begun.append((str(Path(folder).relative_to(tmp_path)), purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None: ...
        def close(self) -> None: ...

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, made), CPU, FakeProgress(stop_at_epoch=2))
    train(request(tmp_path, made, resume=True), CPU, FakeProgress())
    place = "run/tensorboard"
    assert begun == [(f"{place}/fan", 1), (f"{place}/fan", 3), (f"{place}/pump", 1)]


def test_a_line_cut_short_in_the_metrics_is_left_out_and_trained_again(
    tmp_path: Path, made: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, made), CPU, FakeProgress(stop_at_epoch=2))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as opened:
        opened.write('[]\nnull\n{"network": "fan", "epo')
    run = train(request(tmp_path, made, resume=True), CPU, FakeProgress())
    assert [each["epoch"] for each in run.metrics()] == [1, 2, 3, 4] * 2


def test_machines_can_be_chosen_and_each_trains_as_it_would_with_the_others(
    tmp_path: Path, made: Path
) -> None:
    both = train(request(tmp_path, made, out=tmp_path / "both"), CPU, FakeProgress())
    asked = request(tmp_path, made, out=tmp_path / "1", machines=("pump",))
    pump = train(asked, CPU, FakeProgress())
    assert pump.metadata.machines == ("pump",)
    assert weights(pump.folder)["pump"] == weights(both.folder)["pump"]


def test_an_existing_run_is_never_overwritten(tmp_path: Path, made: Path) -> None:
    train(request(tmp_path, made), CPU, FakeProgress())
    before = weights(tmp_path / "run")
    with pytest.raises(RunError, match=r"holds a training run already; continue it with --resume"):
        train(request(tmp_path, made), CPU, FakeProgress())
    assert weights(tmp_path / "run") == before
    with pytest.raises(RunError, match=r"expected a new or empty folder"):
        train(request(tmp_path, made, out=made), CPU, FakeProgress())


@pytest.mark.parametrize(
    ("change", "said"),
    [({"seed": 1}, "seed: 0 there, 1 now"), ({"epochs": 9}, "epochs: 4 there, 9 now")],
)
def test_resuming_another_run_is_refused(
    tmp_path: Path, made: Path, change: dict[str, object], said: str
) -> None:
    train(request(tmp_path, made), CPU, FakeProgress())
    with pytest.raises(RunError, match=said):
        train(request(tmp_path, made, resume=True, **change), CPU, FakeProgress())


def test_resuming_on_other_data_is_refused(tmp_path: Path) -> None:
    own = make_set(tmp_path / "set")
    train(request(tmp_path, own), CPU, FakeProgress())
    soundfile.write(own / "fan/train/normal_id_00_00000000.wav", hum(77, 300.0), RATE_HZ)
    with pytest.raises(
        RunError, match=r"another run \(the contents of training clips have changed"
    ):
        train(request(tmp_path, own, resume=True), CPU, FakeProgress())


def test_resuming_without_a_clip_names_the_target_that_differs(tmp_path: Path) -> None:
    own = make_set(tmp_path / "set", ("fan", "pump"), ("00", "02", "04"))
    train(request(tmp_path, own), CPU, FakeProgress())
    (own / "pump/train/normal_id_04_00000000.wav").unlink()
    with pytest.raises(
        RunError, match=r"(training|held-out) clips of pump/id_04: \d there, \d now"
    ):
        train(request(tmp_path, own, resume=True), CPU, FakeProgress())


def test_there_must_be_something_to_resume(tmp_path: Path, made: Path) -> None:
    with pytest.raises(RunError, match="no run to resume"):
        train(request(tmp_path, made, resume=True), CPU, FakeProgress())


def test_two_trainings_cannot_share_a_folder(tmp_path: Path, made: Path) -> None:
    run = train(request(tmp_path, made), CPU, FakeProgress())
    with run.lock(), pytest.raises(RunError, match="another training writes there"):
        train(request(tmp_path, made, resume=True), CPU, FakeProgress())


def test_a_full_disk_keeps_what_was_trained_and_the_run_goes_on_afterwards(
    tmp_path: Path, made: Path
) -> None:
    whole = train(request(tmp_path, made, out=tmp_path / "whole"), CPU, FakeProgress())
    with pytest.raises(KeyboardInterrupt):
        train(request(tmp_path, made), CPU, FakeProgress(stop_at_epoch=2))
    with max_file_size(20_000), pytest.raises(RunError, match=r"--resume"):
        train(request(tmp_path, made, resume=True), CPU, FakeProgress())
    train(request(tmp_path, made, resume=True), CPU, FakeProgress())
    assert weights(tmp_path / "run") == weights(whole.folder)


@pytest.mark.parametrize(
    ("content", "said"),
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
def test_a_damaged_or_foreign_run_is_told(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match=said):
        Run.open(tmp_path)


def test_a_folder_without_a_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected the folder of a training run"):
        Run.open(tmp_path / "nowhere")


def test_an_unknown_model_is_told_with_those_there_are(tmp_path: Path, made: Path) -> None:
    with pytest.raises(ConfigError, match=r"no model 'autoencodr'; there are: autoencoder"):
        train(request(tmp_path, made, model="autoencodr"), CPU, FakeProgress())


def test_a_missing_machine_is_told_with_the_nearest(tmp_path: Path, made: Path) -> None:
    with pytest.raises(DatasetError, match=r"no clips of machine pmp.*nearest: pump"):
        train(request(tmp_path, made, machines=("pmp",)), CPU, FakeProgress())


@pytest.mark.parametrize("clips", [1, 3])
def test_too_few_clips_are_told_and_no_folder_is_made(tmp_path: Path, clips: int) -> None:
    own = make_set(tmp_path / "set", clips=clips)
    with pytest.raises(DatasetError, match=f"fan/id_00: expected at least 4 .* found {clips}"):
        train(request(tmp_path, own), CPU, FakeProgress())
    assert not (tmp_path / "run").exists()


def test_a_dataset_without_training_clips_is_told(tmp_path: Path) -> None:
    own = make_set(tmp_path / "set", clips=0)
    with pytest.raises(DatasetError, match="expected normal training clips, found 6 clips, all"):
        train(request(tmp_path, own), CPU, FakeProgress())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no sound files"):
        train(request(tmp_path, tmp_path / "empty"), CPU, FakeProgress())


def test_clips_of_digital_silence_do_not_break_training(tmp_path: Path) -> None:
    own = make_set(tmp_path / "set")
    (target,) = prepared_set(own, tmp_path / "cache")[0].targets
    for clip in target.clips:
        soundfile.write(clip.path, np.zeros(RATE_HZ), RATE_HZ)
    run = train(request(tmp_path, own), CPU, FakeProgress())
    assert all(np.isfinite(each["loss"]) for each in run.metrics())


def test_clips_that_can_give_no_calibration_are_told_before_training(tmp_path: Path) -> None:
    own = make_set(tmp_path / "set")
    for path in (own / "fan/train").iterdir():
        soundfile.write(path, np.zeros(RATE_HZ), RATE_HZ)
    with pytest.raises(DatasetError, match=r"fan/id_00: expected at least 2 windows with sound"):
        train(request(tmp_path, own), CPU, FakeProgress())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("content", ["cut short", "not finite", "no sound"])
def test_a_bad_clip_is_told_at_once_and_put_right_the_same_command_works(
    tmp_path: Path, content: str, held_out: bool
) -> None:
    own = make_set(tmp_path / "set")
    (target,) = prepared_set(own, tmp_path / "cache")[0].targets
    bad = (target.held_out if held_out else target.clips)[0].path
    whole = bad.read_bytes()
    if content == "cut short":
        bad.write_bytes(whole[: len(whole) // 2])
    elif content == "not finite":
        soundfile.write(bad, np.full(RATE_HZ, np.nan, np.float32), RATE_HZ, "FLOAT")
    else:
        soundfile.write(bad, np.zeros(0), RATE_HZ)
    with pytest.raises((SourceError, DatasetError), match=f"{bad.name}: .*; replace it"):
        train(request(tmp_path, own), CPU, FakeProgress())
    assert not (tmp_path / "run").exists()
    bad.write_bytes(whole)
    assert len(train(request(tmp_path, own), CPU, FakeProgress()).metrics()) == 4


def test_a_bad_clip_of_a_later_machine_is_told_before_the_first_is_trained(tmp_path: Path) -> None:
    own, shown = make_set(tmp_path / "set", ("fan", "pump")), FakeProgress()
    pump = prepared_set(own, tmp_path / "cache")[0].networks["pump"]
    bad = pump[0].clips[0].path
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=f"{bad.name}: cut short"):
        train(request(tmp_path, own), CPU, shown)
    assert shown.epochs == []
    assert not (tmp_path / "run").exists()
    bad.unlink()
    assert len(train(request(tmp_path, own), CPU, FakeProgress()).metrics()) == 8


def test_another_clip_length_and_what_it_does_to_the_window_is_told(tmp_path: Path) -> None:
    own, shown = make_set(tmp_path / "set"), FakeProgress()
    soundfile.write(
        own / "fan/train/normal_id_00_00000003.wav", hum(3, 300.0, seconds=0.5), RATE_HZ
    )
    train(request(tmp_path, own), CPU, shown)
    (note,) = shown.messages
    assert "windows of 0.5 s, as long as the shortest clip" in note
    assert "00000003.wav" in note
    assert "half of the clips last 1 s or more" in note


def test_clips_of_several_sample_rates_are_told(tmp_path: Path) -> None:
    own, shown = make_set(tmp_path / "set"), FakeProgress()
    other = own / "fan/train/normal_id_00_00000003.wav"
    soundfile.write(other, hum(3, 300.0, 2 * RATE_HZ, 1.1), 2 * RATE_HZ)
    train(request(tmp_path, own), CPU, shown)
    assert any("8000 Hz (7 clips), 16000 Hz (1 clips)" in note for note in shown.messages)


def test_which_channel_is_trained_on_is_told_where_there_are_several(tmp_path: Path) -> None:
    own, shown = make_set(tmp_path / "set"), FakeProgress()
    for number in (2, 3):
        stereo = np.stack([hum(number, 300.0), hum(9, 300.0)], axis=1)
        soundfile.write(own / f"fan/train/normal_id_00_{number:08d}.wav", stereo, RATE_HZ)
    train(request(tmp_path, own), CPU, shown)
    (note,) = shown.messages
    assert note.startswith("2 of 8 training recordings have several channels; only channel 0 ")


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError("600 GiB"),
              RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ...")]
)  # fmt: skip
def test_too_little_memory_is_told_and_a_smaller_recipe_takes_the_same_folder(
    tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def too_large(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(PreparedData, "new_task", too_large)
        with pytest.raises(ConfigError, match=r"too little memory.*smaller batch_size"):
            train(request(tmp_path, made), CPU, FakeProgress())
    assert train(request(tmp_path, made), CPU, FakeProgress()).metrics()


def test_a_device_that_there_is_not_is_told() -> None:
    with pytest.raises(ConfigError, match="--device: expected auto, cpu or cuda, got 'gpu'"):
        check_device("gpu")
