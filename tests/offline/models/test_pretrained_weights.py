"""Files of published weights: how they are loaded, what is refused, and that nothing is run."""

import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from asd_monitor.errors import ConfigError
from asd_offline.models.pretrained.architectures import load_front_end
from tests.offline.small_checkpoints import (
    RATE_HZ,
    beats_file,
    ced_file,
    checkpoint,
    sha256,
    sound,
)


@pytest.mark.parametrize("architecture", ["beats", "ced", "eat"])
def test_a_checkpoint_is_recognised_and_loaded_whole(tmp_path: Path, architecture: str) -> None:
    path = checkpoint(tmp_path, architecture)
    front = load_front_end(path, sha256(path).upper(), "auto")
    stored = (
        torch.load(path, weights_only=True)["model"] if path.suffix == ".pt" else load_file(path)
    )
    own = front.transformer.state_dict()
    prefix = {"beats": "", "ced": "encoder.", "eat": "model."}[architecture]
    assert front.architecture == architecture
    assert all(torch.equal(stored[prefix + name], each) for name, each in own.items())
    assert front(sound()).shape[2:] == (front.bands, front.dims)


def test_ceds_first_files_hold_the_same_under_other_names(tmp_path: Path) -> None:
    fronts = []
    for path in (ced_file(tmp_path / "a.pt"), ced_file(tmp_path / "b.safetensors")):
        fronts.append(load_front_end(path, sha256(path), "ced"))
    with torch.no_grad():
        assert torch.equal(fronts[0](sound()), fronts[1](sound()))


def test_the_classifier_of_a_fine_tuned_beats_is_left_out(tmp_path: Path) -> None:
    fronts = []
    for path in (beats_file(tmp_path / "a.pt", fine_tuned=True), beats_file(tmp_path / "b.pt")):
        fronts.append(load_front_end(path, sha256(path), "beats"))
    with torch.no_grad():
        assert torch.equal(fronts[0](sound()), fronts[1](sound()))


def test_half_precision_weights_are_computed_with_in_full(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    whole = load_file(ced_file(tmp_path / "whole.safetensors"))
    save_file(
        {name: each.half() if each.is_floating_point() else each for name, each in whole.items()},
        path,
    )
    front = load_front_end(path, sha256(path), "auto")
    assert {each.dtype for each in front.transformer.parameters()} == {torch.float32}


@pytest.mark.parametrize("architecture", ["beats", "ced", "eat"])
def test_window_limits_are_where_patches_begin_and_positions_end(
    tmp_path: Path, architecture: str
) -> None:
    path = checkpoint(tmp_path, architecture)
    front = load_front_end(path, sha256(path), "auto")
    least_s, most_s = front.window_limits_s()
    least = round(least_s * RATE_HZ)
    assert front(sound(least)).shape[1] == 1
    with pytest.raises(RuntimeError):
        front(sound(least - 1))
    if math.isfinite(most_s):
        most = round(most_s * RATE_HZ)
        assert front(sound(most)).shape[1] == {"ced": 12, "eat": 20}[architecture]
        with pytest.raises(RuntimeError):
            front(sound(most + 1))
    else:
        assert front(sound(20 * RATE_HZ, 1)).shape[1] > 100


def test_sound_of_another_rate_is_converted(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "ced")
    digest = sha256(path)
    at_16_khz = load_front_end(path, digest, "auto")
    at_8_khz = load_front_end(path, digest, "auto", 8000)
    slow = 0.1 * torch.sin(torch.arange(8000) * 2 * math.pi * 500 / 8000)[None]
    fast = 0.1 * torch.sin(torch.arange(16000) * 2 * math.pi * 500 / 16000)[None]
    with torch.no_grad():
        assert at_8_khz(slow).shape == at_16_khz(fast).shape
        assert torch.equal(at_16_khz(at_8_khz.resample(slow)), at_8_khz(slow))


class Malicious:
    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.touched),)


@pytest.mark.parametrize("kind", ["torch", "old torch", "bare"])
def test_objects_are_refused_and_nothing_is_run(tmp_path: Path, kind: str) -> None:
    touched = tmp_path / "was run"
    path = tmp_path / "model.pt"
    content = {"cfg": {}, "model": {"a": torch.zeros(1)}, "args": Malicious(touched)}
    if kind != "bare":
        torch.save(content, path, _use_new_zipfile_serialization=kind == "torch")
    else:
        path.write_bytes(pickle.dumps(content["args"], protocol=2))
    with pytest.raises(ConfigError, match=r"refused, .*posix\.mkdir.*nothing of it was run"):
        load_front_end(path, sha256(path), "auto")
    assert not touched.exists()


def test_another_file_than_the_one_meant_is_refused_with_its_digest(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "eat")
    digest = sha256(path)
    with pytest.raises(ConfigError, match=f"expected SHA-256 {'0' * 64}, found {digest}"):
        load_front_end(path, "0" * 64, "auto")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"none\.pt: expected a file of published weights: No such"
    ):
        load_front_end(tmp_path / "none.pt", "0" * 64, "auto")


@pytest.mark.parametrize("content", [b"", b"hello, this is no file of weights", b"PK\x03\x04 rest"])
def test_what_is_no_checkpoint_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"model\.pt: .*(not a file of weights|damaged)"):
        load_front_end(path, sha256(path), "auto")


@pytest.mark.parametrize("architecture", ["beats", "ced"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, architecture: str) -> None:
    path = checkpoint(tmp_path, architecture)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ConfigError, match="damaged"):
        load_front_end(path, sha256(path), "auto")


def test_an_unknown_architecture_is_refused_with_some_of_its_tensors(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"feature_extractor.conv.weight": torch.zeros(2)}, path)
    expected = r"one of beats, ced, eat, found 1 others: feature_extractor\.conv\.weight"
    with pytest.raises(ConfigError, match=expected):
        load_front_end(path, sha256(path), "auto")


def test_another_architecture_than_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "ced")
    with pytest.raises(ConfigError, match="expected a beats checkpoint, found one of ced"):
        load_front_end(path, sha256(path), "beats")


def test_tensors_that_do_not_fit_are_listed(tmp_path: Path) -> None:
    tensors = load_file(checkpoint(tmp_path, "ced"))
    del tensors["encoder.norm.bias"]
    tensors["encoder.surprise"] = torch.zeros(2)
    tensors["encoder.blocks.1.attn.proj.weight"] = torch.zeros(3, 128)
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)
    with pytest.raises(ConfigError) as refused:
        load_front_end(path, sha256(path), "auto")
    said = str(refused.value)
    assert "missing: norm.bias" in said
    assert "not known: surprise" in said
    assert "blocks.1.attn.proj.weight (expected (128, 128), found (3, 128))" in said


def test_a_missing_tensor_that_sizes_are_read_off_is_named(tmp_path: Path) -> None:
    tensors = load_file(checkpoint(tmp_path, "ced"))
    del tensors["encoder.init_bn.weight"]
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)
    with pytest.raises(ConfigError, match=r"tensor 'init_bn\.weight' is missing"):
        load_front_end(path, sha256(path), "auto")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    tensors = load_file(checkpoint(tmp_path, "eat"))
    tensors["model.pre_norm.bias"][3] = float("nan")
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)
    with pytest.raises(ConfigError, match=r"tensor model\.pre_norm\.bias has values that are not"):
        load_front_end(path, sha256(path), "auto")


@pytest.mark.parametrize(
    ("cfg", "said"),
    [
        ({"encoder_layers": 3}, "missing: encoder.layers.2"),
        ({"encoder_layers": None}, "cfg.encoder_layers: expected a whole number, found None"),
        ({"deep_norm": False}, "cfg.deep_norm: expected True, found False"),
        ({"activation_fn": "glu"}, "cfg.activation_fn: expected 'gelu', found 'glu'"),
        ({"encoder_attention_heads": 4}, r"grep_a \(expected \(1, 4, 1, 1\), found \(1, 2, 1, 1\)"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    tmp_path: Path, cfg: dict[str, object], said: str
) -> None:
    path = beats_file(tmp_path / "beats.pt", cfg=cfg)
    with pytest.raises(ConfigError, match=said):
        load_front_end(path, sha256(path), "auto")


def test_a_beats_without_settings_is_refused(tmp_path: Path) -> None:
    stored = torch.load(beats_file(tmp_path / "beats.pt"), weights_only=True)
    path = tmp_path / "other.pt"
    torch.save(stored["model"], path)
    with pytest.raises(ConfigError, match=r"expected its settings \(cfg\)"):
        load_front_end(path, sha256(path), "auto")
