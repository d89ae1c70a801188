"""Files of published weights: what is refused, and that nothing in them is ever run."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from asd_monitor.errors import ConfigError
from asd_offline.pretrained_networks import load_front_end
from tests.offline.small_checkpoints import beats_file, checkpoint, sha256


class Malicious:
    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.touched,)


@pytest.mark.parametrize("kind", ["torch", "bare", "bare with another name"])
def test_objects_are_refused_and_nothing_is_run(tmp_path: Path, kind: str) -> None:
    touched = tmp_path / "was run"
    path = tmp_path / ("model.safetensors" if kind.endswith("name") else "model.pt")
    content = {"cfg": {}, "model": {"a": torch.zeros(1)}, "args": Malicious(touched)}
    if kind == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(ConfigError, match=r"refused: .*nothing of it was run; .*safetensors"):
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
    with pytest.raises(ConfigError, match=r"model\.pt: .*(neither|damaged)"):
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


def test_a_beats_without_settings_or_with_unequal_biases_is_refused(tmp_path: Path) -> None:
    stored = torch.load(beats_file(tmp_path / "beats.pt"), weights_only=True)
    path = tmp_path / "other.pt"
    torch.save(stored["model"], path)
    with pytest.raises(ConfigError, match=r"expected its settings \(cfg\)"):
        load_front_end(path, sha256(path), "auto")
    name = "encoder.layers.1.self_attn.relative_attention_bias.weight"
    stored["model"][name] = stored["model"][name] + 1.0
    torch.save(stored, path)
    with pytest.raises(ConfigError, match="not the same in all layers: relative_attention_bias"):
        load_front_end(path, sha256(path), "auto")
