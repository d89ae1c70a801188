"""Files of published weights: loading, refusals, and that no code in them is executed."""

import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from asd_monitor.errors import ConfigError
from asd_offline.models.pretrained.loading import load_front_end
from tests.offline.small_checkpoints import (
    RATE_HZ,
    beats_file,
    ced_file,
    checkpoint,
    load_checkpoint,
    sha256,
    sound,
)


@pytest.mark.parametrize("architecture", ["beats", "ced", "dasheng", "eat"])
def test_a_checkpoint_is_recognised_and_loaded_whole(tmp_path: Path, architecture: str) -> None:
    path = checkpoint(tmp_path, architecture)
    front = load_front_end(path, sha256(path).upper(), "auto")
    stored = (
        torch.load(path, weights_only=True)["model"] if path.suffix == ".pt" else load_file(path)
    )
    loaded = front.transformer.state_dict()
    prefix = {"beats": "", "ced": "encoder.", "dasheng": "", "eat": "model."}[architecture]
    assert front.architecture == architecture
    stored = {name.replace("init_bn.1.", "init_bn."): tensor for name, tensor in stored.items()}
    assert all(torch.equal(stored[prefix + name], tensor) for name, tensor in loaded.items())
    assert front(sound()).shape[2:] == (front.band_patches, front.dims)


def check_equal_front_ends(first: Path, second: Path) -> None:
    with torch.no_grad():
        patches = [load_checkpoint(path)(sound()) for path in (first, second)]
    assert torch.equal(*patches)


def test_ceds_first_files_hold_the_same_tensors_under_other_names(tmp_path: Path) -> None:
    check_equal_front_ends(ced_file(tmp_path / "a.pt"), ced_file(tmp_path / "b.safetensors"))


def test_the_classifier_of_a_fine_tuned_beats_is_ignored(tmp_path: Path) -> None:
    fine_tuned = beats_file(tmp_path / "a.pt", fine_tuned=True)
    check_equal_front_ends(fine_tuned, beats_file(tmp_path / "b.pt"))


def test_half_precision_weights_are_converted_to_float32(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    tensors = load_file(ced_file(tmp_path / "full.safetensors"))
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    save_file(halves, path)
    parameters = load_checkpoint(path).transformer.parameters()
    assert {parameter.dtype for parameter in parameters} == {torch.float32}


@pytest.mark.parametrize("architecture", ["beats", "ced", "dasheng", "eat"])
def test_window_limits_are_the_first_patch_and_the_last_position(
    tmp_path: Path, architecture: str
) -> None:
    front = load_checkpoint(checkpoint(tmp_path, architecture))
    min_s, max_s = front.window_limits_s()
    min_samples = round(min_s * RATE_HZ)
    assert front(sound(min_samples)).shape[1] == 1
    with pytest.raises(RuntimeError):
        front(sound(min_samples - 1))
    if math.isfinite(max_s):
        max_samples = round(max_s * RATE_HZ)
        assert front(sound(max_samples)).shape[1] == {"ced": 12, "eat": 20}[architecture]
        with pytest.raises(RuntimeError):
            front(sound(max_samples + 1))
    else:
        assert front(sound(20 * RATE_HZ, 1)).shape[1] > 100


def test_sound_of_another_rate_is_converted(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "ced")
    at_16_khz = load_checkpoint(path)
    at_8_khz = load_checkpoint(path, sample_rate_hz=8000)
    slow = 0.1 * torch.sin(torch.arange(8000) * 2 * math.pi * 500 / 8000)[None]
    fast = 0.1 * torch.sin(torch.arange(16000) * 2 * math.pi * 500 / 16000)[None]
    with torch.no_grad():
        assert at_8_khz(slow).shape == at_16_khz(fast).shape
        assert torch.equal(at_16_khz(at_8_khz.resample(slow)), at_8_khz(slow))


class Malicious:
    def __init__(self, created: Path) -> None:
        self.created = created

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.created),)


@pytest.mark.parametrize("form", ["torch", "old torch", "pickle"])
def test_objects_are_refused_and_no_code_is_executed(tmp_path: Path, form: str) -> None:
    created = tmp_path / "executed"
    path = tmp_path / "model.pt"
    content = {"cfg": {}, "model": {"a": torch.zeros(1)}, "args": Malicious(created)}
    if form != "pickle":
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    else:
        path.write_bytes(pickle.dumps(content["args"], protocol=2))
    with pytest.raises(ConfigError, match=r"refused, .*posix\.mkdir.*no code was run"):
        load_checkpoint(path)
    assert not created.exists()


def test_a_file_with_another_digest_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "eat")
    digest = sha256(path)
    with pytest.raises(ConfigError, match=f"expected SHA-256 {'0' * 64}, found {digest}"):
        load_front_end(path, "0" * 64, "auto")


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none\.pt: expected a file of published weights: No such"
    ):
        load_front_end(tmp_path / "none.pt", "0" * 64, "auto")


@pytest.mark.parametrize("content", [b"", b"hello, this is no file of weights", b"PK\x03\x04 rest"])
def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model\.pt: .*(not a weight file|damaged)"):
        load_checkpoint(path)


@pytest.mark.parametrize("architecture", ["beats", "ced"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, architecture: str) -> None:
    path = checkpoint(tmp_path, architecture)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ConfigError, match="damaged"):
        load_checkpoint(path)


def test_an_unknown_architecture_is_refused_with_names_of_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"feature_extractor.conv.weight": torch.zeros(2)}, path)
    expected = r"one of beats, ced, dasheng, eat, found 1 others: feature_extractor\.conv\.weight"
    with pytest.raises(ConfigError, match=expected):
        load_checkpoint(path)


def test_another_architecture_than_the_requested_one_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "ced")
    with pytest.raises(ConfigError, match="expected a beats checkpoint, found a ced checkpoint"):
        load_checkpoint(path, "beats")


def test_tensors_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    tensors = load_file(checkpoint(tmp_path, "ced"))
    del tensors["encoder.norm.bias"]
    tensors["encoder.extra"] = torch.zeros(2)
    tensors["encoder.blocks.1.attn.proj.weight"] = torch.zeros(3, 128)
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)
    with pytest.raises(ConfigError) as refusal:
        load_checkpoint(path)
    message = str(refusal.value)
    assert "missing: norm.bias" in message
    assert "unknown: extra" in message
    assert "blocks.1.attn.proj.weight (expected (128, 128), found (3, 128))" in message


def test_a_missing_tensor_that_gives_a_size_is_reported(tmp_path: Path) -> None:
    tensors = load_file(checkpoint(tmp_path, "ced"))
    del tensors["encoder.init_bn.weight"]
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)
    with pytest.raises(ConfigError, match=r"tensor 'init_bn\.weight' is missing"):
        load_checkpoint(path)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    tensors = load_file(checkpoint(tmp_path, "eat"))
    tensors["model.pre_norm.bias"][3] = float("nan")
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)
    with pytest.raises(ConfigError, match=r"tensor model\.pre_norm\.bias has values that are not"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"encoder_layers": 3}, "missing: encoder.layers.2"),
        ({"encoder_layers": None}, "cfg.encoder_layers: expected a positive integer, found None"),
        ({"deep_norm": False}, "cfg.deep_norm: expected True, found False"),
        ({"activation_fn": "glu"}, "cfg.activation_fn: expected 'gelu', found 'glu'"),
        ({"encoder_attention_heads": 4}, r"grep_a \(expected \(1, 4, 1, 1\), found \(1, 2, 1, 1\)"),
    ],
)
def test_settings_that_do_not_fit_are_reported(
    tmp_path: Path, cfg: dict[str, object], message: str
) -> None:
    path = beats_file(tmp_path / "beats.pt", cfg=cfg)
    with pytest.raises(ConfigError, match=message):
        load_checkpoint(path)


def test_a_beats_without_settings_is_refused(tmp_path: Path) -> None:
    stored = torch.load(beats_file(tmp_path / "beats.pt"), weights_only=True)
    path = tmp_path / "other.pt"
    torch.save(stored["model"], path)
    with pytest.raises(ConfigError, match=r"expected its settings \(cfg\)"):
        load_checkpoint(path)
