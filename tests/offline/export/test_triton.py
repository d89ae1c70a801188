"""``export --triton`` writes a model repository that onnxruntime serves with the file's scores."""

import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import typer
from typer.testing import CliRunner

from asd_monitor.commands.export import export
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.model_file import LoadPolicy, load, save
from asd_monitor.quickstart import Recording, fit
from asd_offline.export.triton import write_repository
from tests.offline.small_sounds import hum
from tests.rig.toy_model import noise, save_toy


def invoke(*arguments: object) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command("export")(export)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output, result.exception


def open_served(folder: Path) -> onnxruntime.InferenceSession:
    """Open a model as Triton does, after comparing its configuration with the graph."""
    config = (folder / "config.pbtxt").read_text()
    assert f'name: "{folder.name}"' in config
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        folder / "1" / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    pattern = r'^(\w+) \{ name: "([^"]+)" data_type: TYPE_FP32 dims: \[ ([\d, ]+) \] \}$'
    declared = [
        (kind, name, [int(length) for length in dims.split(", ")])
        for kind, name, dims in re.findall(pattern, config, re.MULTILINE)
    ]
    found = [("input", each.name, each.shape) for each in session.get_inputs()]
    found += [("output", each.name, each.shape) for each in session.get_outputs()]
    assert declared == found
    assert all(each.type == "tensor(float)" for each in session.get_inputs())
    return session


def test_each_target_is_a_model_with_the_scores_of_the_file(tmp_path: Path) -> None:
    model = save_toy(tmp_path / "toy.asd")
    loaded = load(model)
    code, output, error = invoke(model, "--triton", tmp_path / "repository")
    assert code == 0, error
    assert str(tmp_path / "repository") in output
    window = noise(1, level_dbfs=-18)
    folders = sorted((tmp_path / "repository").iterdir())
    assert len(folders) == len(loaded.manifest.targets) > 1
    for folder in folders:
        config = (folder / "config.pbtxt").read_text()
        (target,) = re.findall(r'key: "target" value \{ string_value: "([^"]+)"', config)
        rate = f'key: "sample_rate_hz" value {{ string_value: "{loaded.manifest.sample_rate_hz}"'
        assert rate in config
        (result,) = open_served(folder).run(None, {"waveform": window})
        expected = loaded.score(window, np.array([loaded.target_index(target)]))
        np.testing.assert_allclose(result.ravel()[0], expected[0], rtol=1e-5)


def test_the_quick_start_detector_is_served_with_its_scores(tmp_path: Path) -> None:
    sound = hum(0, 200.0, 16_000, 40.0)
    fitted = fit([Recording("a.wav", sound)], target="pump", window_s=1.0)
    model = tmp_path / "pump.asd"
    save(model, fitted.module, fitted.manifest)
    (served,) = write_repository(model, tmp_path / "repository", LoadPolicy())
    loaded = load(model)
    session = open_served(served.folder)
    window = sound[None, : loaded.manifest.window_samples]
    (result,) = session.run(None, {"waveform": window})
    expected = loaded.score(window, np.array([0]))
    np.testing.assert_allclose(result.ravel()[0], expected[0], rtol=1e-4, atol=1e-5)


def test_what_cannot_be_served_is_an_error(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.asd"
    damaged.write_bytes(b"nothing")
    with pytest.raises(ModelFileError, match=r"damaged\.asd"):
        write_repository(damaged, tmp_path / "repository", LoadPolicy())
    (tmp_path / "file").write_text("")
    model = save_toy(tmp_path / "toy.asd")
    with pytest.raises(ModelFileError, match="--triton"):
        write_repository(model, tmp_path / "file", LoadPolicy())
    _, _, error = invoke(model)
    assert isinstance(error, ConfigError)
    assert "--triton" in str(error)
    _, _, error = invoke(tmp_path)
    assert isinstance(error, ConfigError)
    assert "--out" in str(error)
