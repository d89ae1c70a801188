"""A model file is scored by onnxruntime as by torch, in a program that has no torch."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import load, pack, save, script
from asd_monitor.model_file.loading import load_verified
from asd_monitor.model_file.policy import LoadPolicy
from asd_monitor.model_file.trial import Trial
from tests.rig.hostile_models import change_members, make_foreign
from tests.rig.toy_model import LogBands, manifest, noise, save_toy

ONNX = LoadPolicy(runtime="onnx")
TARGETS = np.array([0, 1, 1, 0])


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return save_toy(tmp_path / "toy.asd")


def members_of(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def test_scores_voices_and_evidence_are_those_of_torch(toy: Path) -> None:
    expected, found = load(toy), load(toy, policy=ONNX)
    windows = noise(4, level_dbfs=-18)
    assert (expected.runtime, found.runtime) == ("torchscript", "onnx")
    scores = expected.score(windows, TARGETS)
    np.testing.assert_allclose(found.score(windows, TARGETS), scores, rtol=1e-5)
    voices = found.score_voices(windows, TARGETS)
    np.testing.assert_allclose(voices.scores, scores, rtol=1e-5)
    evidence = [model.evidence(windows, TARGETS) for model in (found, expected)]
    assert evidence[0] is not None
    assert evidence[1] is not None
    np.testing.assert_allclose(evidence[0], evidence[1], rtol=1e-3, atol=1e-2)


def test_no_windows_get_no_scores(toy: Path) -> None:
    model = load(toy, policy=ONNX)
    assert model.score(noise(0), np.empty(0, np.int64)).shape == (0,)


def test_the_weights_are_stored_once(toy: Path) -> None:
    bank = LogBands().bank.numpy().tobytes()
    members = members_of(toy.read_bytes())
    assert sum(content.count(bank) for content in members.values()) == 1


def test_an_unpacked_file_is_an_ordinary_onnx_model(toy: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(toy) as archive:
        archive.extractall(tmp_path / "unpacked")
    (path,) = (tmp_path / "unpacked").glob("*/forward_1.onnx")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    window = noise(1)
    (score,) = session.run(None, {"waveform": window})
    np.testing.assert_allclose(score, load(toy).score(window, np.array([1])), rtol=1e-5)


def test_files_of_one_program_share_a_session(tmp_path: Path) -> None:
    models = []
    for shift_db in (0.0, 6.0):
        module = LogBands()
        module.bank += shift_db
        path = tmp_path / f"{shift_db}.asd"
        save(path, script(module), manifest())
        models.append(load(path, policy=ONNX))
    sessions = {
        id(graph._session) for model in models for graph in model._module._graphs["forward"]
    }
    assert len(sessions) == 1
    scores = [model.score(noise(1), np.array([0]))[0] for model in models]
    assert abs(scores[0] - scores[1]) > 1


def test_a_new_file_is_tried_without_torch_in_a_limited_process(toy: Path) -> None:
    make_foreign(toy)
    with Trial("onnx") as trial:
        trial.run(toy.read_bytes(), toy)
        change_members(
            toy,
            lambda name, content: content.replace(b"Sub", b"Add") if "onnx" in name else content,
        )
        with pytest.raises(ModelFileError, match="does not reproduce its reference scores"):
            trial.run(toy.read_bytes(), toy)


def test_scores_that_differ_from_the_reference_are_refused(toy: Path) -> None:
    def shifted(name: str, content: bytes) -> bytes:
        if not name.endswith("golden.json"):
            return content
        reference = json.loads(content)
        reference["scores"][0] += 5e-5 * max(map(abs, reference["scores"]))
        return json.dumps(reference).encode()

    change_members(toy, shifted)
    load_verified(toy.read_bytes(), toy, "cpu", runtime="torchscript")
    with pytest.raises(ModelFileError, match="does not reproduce its reference scores"):
        load_verified(toy.read_bytes(), toy, "cpu", runtime="onnx")


def test_a_forbidden_operator_is_refused_before_anything_runs(toy: Path) -> None:
    change_members(
        toy,
        lambda name, content: (
            content.replace(b"\x03Sub", b"\x03Det") if "onnx" in name else content
        ),
    )
    for policy in (ONNX, LoadPolicy()):
        with pytest.raises(ModelFileError, match=r"forward_0\.onnx: the operator 'Det'"):
            load(make_foreign(toy), policy=policy)


def test_a_file_without_graphs_needs_torch(tmp_path: Path) -> None:
    path = tmp_path / "old.asd"
    path.write_bytes(pack(script(LogBands()), manifest(), with_graphs=False))
    assert load(path).runtime == "torchscript"
    with pytest.raises(ModelFileError, match=r"no ONNX graphs.*asd-monitor\[torch\]"):
        load(path, policy=ONNX)


class Deciding(torch.nn.Module):
    """Scores by a condition on the sound."""

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return scores ``(batch,)``."""
        if bool(waveform.square().mean() > 0.001):
            return waveform.square().mean(1)
        return waveform.abs().mean(1)


def test_a_module_that_cannot_be_converted_is_saved_without_graphs() -> None:
    names = members_of(pack(script(Deciding()), manifest()))
    assert not [name for name in names if name.endswith((".onnx", "onnx.data"))]


def test_onnxruntime_does_not_score_on_a_gpu(toy: Path) -> None:
    with pytest.raises(ModelFileError, match="set device to auto or cpu"):
        load(toy, "cuda", policy=ONNX)
