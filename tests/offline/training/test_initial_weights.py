"""Training from the weights of a file: recorded, reported, resumed and exported."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_monitor.errors import ConfigError, RunError
from asd_monitor.model_file import load
from asd_offline.export.export import export
from asd_offline.features.frontends import LogMel
from asd_offline.training.checkpoints import (
    latest_checkpoint,
    list_checkpoints,
    read_checkpoint,
)
from asd_offline.training.run import TrainRequest, train
from asd_offline.training.run_folder import Run
from tests.offline.model_files import training_request
from tests.offline.published_checkpoints import (
    aegan,
    aenet,
    aenet_reconstruction,
    anomaly_transformer,
    mobilenet,
)
from tests.offline.small_sounds import (
    CPU,
    FakeProgress,
    hum,
    make_set,
    request,
    small_recipe,
    write_recipe,
)
from tests.rig import forked


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_set(tmp_path_factory.mktemp("sounds"), ("fan", "pump"), ("00", "04"), clips=6)


def save(path: Path, state: Mapping[str, object]) -> str:
    torch.save(state, path)
    return str(path)


def small_aenet() -> dict[str, Tensor]:
    return aenet(16 * 5, 16, 4, bands=16)


def init_request(folder: Path, sounds: Path, **changes: object) -> TrainRequest:
    values = {"machines": ("fan",), "init_from": (save(folder / "ae.pth", small_aenet()),)}
    return request(folder, sounds, **(values | changes))


def newest_weights(run: Path, network: str = "fan") -> dict[str, Tensor]:
    checkpoint = latest_checkpoint(run / "networks" / network)
    assert checkpoint is not None
    weights: dict[str, Tensor] = checkpoint["weights"]
    return weights


def test_published_weights_as_they_are_become_a_model_file(tmp_path: Path, sounds: Path) -> None:
    run = train(init_request(tmp_path, sounds, epochs=0), CPU, progress := FakeProgress())
    assert progress.messages[0] == "fan: 65 of 65 tensors loaded from ae.pth"
    assert any("cov_source (16, 16): covariances are fitted" in note for note in progress.messages)
    exported = export(run.folder, tmp_path / "model.asd", tmp_path / "cache")
    files = exported.manifest.training["initial_weights"]
    assert files == [dict(Run.open(run.folder).metadata.initial["files"][0])]  # type: ignore[index]
    window = hum(7, 500.0)
    with torch.no_grad():
        settings = small_recipe().log_mel().settings
        mel = LogMel(settings)(torch.from_numpy(window)[None])[0]
        vectors = mel.unfold(0, 5, 1).transpose(1, 2).flatten(1)
        expected = (aenet_reconstruction(small_aenet(), vectors) - vectors).square().mean()
    score = load(exported.path).score(window[None], np.array([0]))
    np.testing.assert_allclose(score, expected.numpy(), rtol=1e-4)


def test_a_run_records_the_file_and_which_tensors_were_loaded(tmp_path: Path, sounds: Path) -> None:
    state = small_aenet() | {"encoder.0.weight": torch.zeros(9, 9)}
    init = save(tmp_path / "odd.pth", {"model_state_dict": state})
    run = train(
        init_request(tmp_path, sounds, init_from=(init,), epochs=1), CPU, progress := FakeProgress()
    )
    recorded = json.loads((run.folder / "run.json").read_text())["initial"]
    assert [file["file"] for file in recorded["files"]] == [init]
    assert len(recorded["files"][0]["sha256"]) == 64
    odd = "encoder.0.weight (9, 9): autoencoder.layers.0.weight needs (16, 80)"
    assert odd in recorded["networks"]["fan"]["left_out"]
    assert recorded["networks"]["fan"]["uninitialised"] == ["autoencoder.layers.0.weight"]
    assert recorded["networks"]["fan"]["loaded"] == 64
    assert f"fan: left out: {odd}" in progress.messages
    assert "fan: initialised at random: autoencoder.layers.0.weight" in progress.messages


def test_training_starts_from_the_weights(tmp_path: Path, sounds: Path) -> None:
    train(init_request(tmp_path, sounds, epochs=1), CPU, FakeProgress())
    folder = tmp_path / "run" / "networks" / "fan"
    trained, start = (read_checkpoint(path)["weights"] for path in list_checkpoints(folder))
    name = "autoencoder.layers.0.weight"
    assert torch.equal(start[name], small_aenet()["encoder.0.weight"])
    moved = (trained[name] - start[name]).abs().max()
    assert 0.0 < moved < 0.5


def test_resuming_without_the_file_equals_uninterrupted_training(
    tmp_path: Path, sounds: Path
) -> None:
    training = init_request(tmp_path, sounds, machines=(), out=tmp_path / "uninterrupted")
    train(training, CPU, FakeProgress())
    parts = replace(training, out=tmp_path / "parts")
    with pytest.raises(KeyboardInterrupt):
        train(parts, CPU, FakeProgress(stop_at_epoch=4))  # before pump starts
    train(replace(parts, init_from=(), resume=True), CPU, FakeProgress())
    for name in ("fan", "pump"):
        uninterrupted, resumed = (
            newest_weights(tmp_path / "uninterrupted", name),
            newest_weights(tmp_path / "parts", name),
        )
        assert all(torch.equal(uninterrupted[key], resumed[key]) for key in uninterrupted)


def test_resuming_with_other_or_changed_weights_is_refused(tmp_path: Path, sounds: Path) -> None:
    training = init_request(tmp_path, sounds, machines=())
    with pytest.raises(KeyboardInterrupt):
        train(training, CPU, FakeProgress(stop_at_epoch=1))
    other = save(tmp_path / "other.pth", small_aenet() | {"cov_source": torch.zeros(16, 16)})
    for init in ((other,), (*training.init_from, other)):
        with pytest.raises(RunError, match="init-from: other weights there than now"):
            train(replace(training, init_from=init, resume=True), CPU, FakeProgress())
    shutil.rmtree(
        training.out / "networks" / "pump"
    )  # as if stopped before its weights were loaded
    save(Path(training.init_from[0]), {"model": small_aenet()})
    with pytest.raises(RunError, match=r"ae.pth: has changed since the run was started"):
        train(replace(training, init_from=(), resume=True), CPU, FakeProgress())


def test_a_randomly_initialised_run_cannot_be_resumed_with_weights(
    tmp_path: Path, sounds: Path
) -> None:
    training = init_request(tmp_path, sounds)
    with pytest.raises(KeyboardInterrupt):
        train(replace(training, init_from=()), CPU, FakeProgress(stop_at_epoch=1))
    with pytest.raises(RunError, match="init-from: other weights"):
        train(replace(training, resume=True), CPU, FakeProgress())


def test_each_machine_can_have_its_own_file(tmp_path: Path, sounds: Path) -> None:
    pump = small_aenet() | {"encoder.0.bias": torch.full((16,), 3.0)}
    files = (
        f"fan={save(tmp_path / 'fan.pth', small_aenet())}",
        f"pump={save(tmp_path / 'pump.pth', pump)}",
    )
    train(
        init_request(tmp_path, sounds, machines=(), init_from=files, epochs=0), CPU, FakeProgress()
    )
    name = "autoencoder.layers.0.bias"
    assert torch.equal(newest_weights(tmp_path / "run", "pump")[name], torch.full((16,), 3.0))
    assert not torch.equal(newest_weights(tmp_path / "run", "fan")[name], torch.full((16,), 3.0))


def test_an_unknown_network_is_refused(tmp_path: Path, sounds: Path) -> None:
    wrong = init_request(tmp_path, sounds, init_from=("valve=x.pth",))
    with pytest.raises(ConfigError, match=r"no network 'valve'; there are: fan$"):
        train(wrong, CPU, FakeProgress())


def test_a_machine_without_weights_or_training_is_not_exported(
    tmp_path: Path, sounds: Path
) -> None:
    only = f"fan={save(tmp_path / 'fan.pth', small_aenet())}"
    training = init_request(tmp_path, sounds, machines=(), init_from=(only,), epochs=0)
    train(training, CPU, progress := FakeProgress())
    assert "pump: no weights given, so it is initialised at random" in progress.messages
    with pytest.raises(RunError, match="network pump has neither weights nor training"):
        export(training.out, tmp_path / "model.asd", training.cache)


def test_a_checkpoint_of_another_run_gives_initial_weights(tmp_path: Path, sounds: Path) -> None:
    first = train(request(tmp_path, sounds, out=tmp_path / "first"), CPU, FakeProgress())
    (checkpoint, *_) = list_checkpoints(first.folder / "networks" / "pump")
    train(
        init_request(tmp_path, sounds, init_from=(str(checkpoint),), epochs=0), CPU, FakeProgress()
    )
    loaded, trained = newest_weights(tmp_path / "run"), newest_weights(first.folder, "pump")
    assert all(torch.equal(loaded[name], trained[name]) for name in trained)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"fc.weight": torch.zeros(3, 3)}, r"no tensor matches: .* found fc.weight \(3, 3\)"),
        (anomaly_transformer(8, 8, 1, 8), "no tensor matches"),
        ({"encoder.0.bias": torch.full((16,), torch.nan)}, "values that are not finite"),
    ],
)
def test_weights_that_do_not_fit_the_network_stop_the_run(
    tmp_path: Path, sounds: Path, state: dict[str, Tensor], message: str
) -> None:
    wrong = init_request(tmp_path, sounds, init_from=(save(tmp_path / "wrong.pth", state),))
    with pytest.raises(ConfigError, match=message):
        train(wrong, CPU, FakeProgress())
    assert not wrong.out.exists()
    right = (save(tmp_path / "right.pth", small_aenet()),)
    assert train(replace(wrong, init_from=right, epochs=0), CPU, FakeProgress()).folder == wrong.out


def test_a_wrong_file_of_one_machine_is_reported_before_training(
    tmp_path: Path, sounds: Path
) -> None:
    right = save(tmp_path / "ae.pth", small_aenet())
    wrong = save(tmp_path / "wrong.pth", {"fc.weight": torch.zeros(3, 3)})
    files = (f"fan={right}", f"pump={wrong}")
    with pytest.raises(ConfigError, match=r"wrong.pth: no tensor matches"):
        train(
            init_request(tmp_path, sounds, machines=(), init_from=files),
            CPU,
            progress := FakeProgress(),
        )
    assert not progress.epochs
    assert not (tmp_path / "run").exists()


def test_a_trained_run_is_not_deleted(tmp_path: Path, sounds: Path) -> None:
    run = train(init_request(tmp_path, sounds, epochs=1), CPU, FakeProgress())
    run.delete_if_untrained()
    assert newest_weights(run.folder)


def test_two_files_of_the_same_network_are_refused(tmp_path: Path, sounds: Path) -> None:
    two = tuple(save(tmp_path / name, small_aenet()) for name in ("a.pth", "b.pth"))
    with pytest.raises(ConfigError, match=r"both .*a.pth and .*b.pth have it"):
        train(init_request(tmp_path, sounds, init_from=two), CPU, FakeProgress())


def test_a_model_without_weights_is_refused(tmp_path: Path, sounds: Path) -> None:
    wrong = init_request(tmp_path, sounds, model="modulation_knn", recipe=None)
    with pytest.raises(ConfigError, match="learns no weights"):
        train(wrong, CPU, FakeProgress())


def test_aegan_takes_generator_and_discriminator_from_two_files(
    tmp_path: Path, sounds: Path
) -> None:
    generator, critic = aegan(channels=2)
    generator = {
        name: tensor for name, tensor in generator.items() if not name.startswith("Encoder.main.15")
    }
    files = (save(tmp_path / "g.pth", generator), save(tmp_path / "d.pth", critic))
    training = training_request(tmp_path, "aegan_ad", sounds, epochs=0, code=256, score="d_knn")
    train(replace(training, init_from=files, machines=("fan",)), CPU, FakeProgress())
    exported = export(training.out, tmp_path / "model.asd", training.cache)
    assert exported.manifest.description["score"] == "d_knn"
    # One tensor of the generator is missing, so scores that need it are refused.
    with pytest.raises(RunError, match=r"generator\.encoder\.1\.weight did not come with"):
        export(training.out, tmp_path / "no.asd", training.cache, score="g_x_l2_mean")


def test_the_assumed_order_of_classes_is_reported(tmp_path: Path, sounds: Path) -> None:
    training = replace(
        training_request(tmp_path, "mobilenetv2", sounds, epochs=0),
        init_from=(save(tmp_path / "tv.pth", mobilenet(2)),),
    )
    train(training, CPU, progress := FakeProgress())
    assert "fan: network.classifier.weight: the assumed order of its classes is: " in (
        "\n".join(progress.messages)
    )
    assert "fan/id_00, fan/id_04" in "\n".join(progress.messages)
    assert Run.open(training.out).metadata.initial["networks"]["fan"]["uninitialised"] == []  # type: ignore[index]


def test_an_untrained_classifier_is_not_exported(tmp_path: Path, sounds: Path) -> None:
    training = replace(
        training_request(tmp_path, "mobilenetv2", sounds, epochs=0),
        init_from=(save(tmp_path / "tv.pth", mobilenet(7)),),
    )
    train(training, CPU, progress := FakeProgress())
    assert any(
        "stays random, because no epoch is trained: network.cl" in note
        for note in progress.messages
    )
    with pytest.raises(RunError, match=r"network\.classifier\.weight and 1 more did not come"):
        export(training.out, tmp_path / "model.asd", training.cache)


def test_several_processes_start_with_the_same_weights(tmp_path: Path, sounds: Path) -> None:
    init = save(tmp_path / "ae.pth", small_aenet())
    recipe = write_recipe(tmp_path / "recipe.yaml", epochs=1)
    command = ["train", "autoencoder", sounds, "--machine", "fan", "--config", recipe]
    command += ["--out", tmp_path / "run", "--cache", tmp_path / "cache", "--init-from", init]
    processes = [
        forked.start_command(command, tmp_path / f"stderr{rank}", environment)
        for rank, environment in enumerate(forked.distributed_environments(2))
    ]
    for process in processes:
        process.join(400)
    stderr = [(tmp_path / f"stderr{rank}").read_text() for rank in (0, 1)]
    assert [process.exitcode for process in processes] == [0, 0], stderr
    assert "65 of 65 tensors loaded from ae.pth" in stderr[0]
    assert "loaded" not in stderr[1]
    trained, start = (
        read_checkpoint(path) for path in list_checkpoints(tmp_path / "run" / "networks" / "fan")
    )
    assert (trained["epoch"], start["epoch"]) == (1, 0)
    name = "autoencoder.layers.0.weight"
    assert torch.equal(start["weights"][name], small_aenet()["encoder.0.weight"])
    assert (trained["weights"][name] - start["weights"][name]).abs().max() < 0.5
