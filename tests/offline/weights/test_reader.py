"""Weight files are read in every usual form, and their code is never executed."""

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from asd_monitor.errors import ConfigError
from asd_monitor.model_file import script
from asd_offline.weights.reader import parse_weights, read_weights

ONE = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.ones(2)}
OTHER = {"head.weight": torch.zeros(2, 2)}


def save(folder: Path, value: object, name: str = "weights.pth", *, old: bool = False) -> Path:
    torch.save(value, folder / name, _use_new_zipfile_serialization=not old)
    return folder / name


def equal(actual: "dict[str, Tensor]", expected: "dict[str, Tensor]") -> bool:
    return set(actual) == set(expected) and all(
        torch.equal(actual[name], expected[name]) for name in actual
    )


@pytest.mark.parametrize(
    "value",
    [
        ONE,
        OrderedDict(ONE),
        {"state_dict": ONE, "epoch": 3},
        {"model_state_dict": ONE, "optimizer_state_dict": {"state": {}}, "loss": torch.ones(())},
        {"model": ONE, "optimizer": None, "epoch": 300},
        {"net": ONE},
        {f"module.{name}": tensor for name, tensor in ONE.items()},
        {"state_dict": {f"model.module.{name}": tensor for name, tensor in ONE.items()}},
        {name: nn.Parameter(tensor) for name, tensor in ONE.items()},
    ],
)
def test_a_state_dict_is_found_in_every_usual_place(tmp_path: Path, value: object) -> None:
    assert equal(dict(read_weights(save(tmp_path, value)).tensors), ONE)


def test_two_networks_in_one_file_are_read_despite_a_numpy_metric(tmp_path: Path) -> None:
    # AEGAN-AD saves np.mean(...) with the weights.
    path = save(tmp_path, {"netD": ONE, "netG": OTHER, "best_aver": np.float64(0.77)})
    assert equal(dict(read_weights(path).tensors), ONE | OTHER)


def test_equal_names_in_two_networks_are_prefixed(tmp_path: Path) -> None:
    path = save(tmp_path, {"netG": ONE, "netD": {"layer.bias": torch.zeros(2)}})
    assert set(read_weights(path).tensors) == {"layer.weight", "layer.bias", "netD.layer.bias"}


def test_files_of_torch_before_1_6_are_read(tmp_path: Path) -> None:
    path = save(tmp_path, {"model": ONE}, old=True)
    assert equal(dict(read_weights(path).tensors), ONE)


def test_safetensors_are_read(tmp_path: Path) -> None:
    save = pytest.importorskip("safetensors.torch").save_file
    save(ONE, tmp_path / "weights.safetensors")
    assert equal(dict(read_weights(tmp_path / "weights.safetensors").tensors), ONE)


class Malicious:
    """Object that creates a folder when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.proof), 0o700)


@pytest.mark.parametrize("form", ["torch", "old torch", "pickle", "named safetensors"])
def test_a_file_with_code_is_refused_and_nothing_is_executed(tmp_path: Path, form: str) -> None:
    proof, path = tmp_path / "proof", tmp_path / "weights.pth"
    value = {"state_dict": ONE, "extra": Malicious(proof)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(value))
    elif form == "named safetensors":
        path = tmp_path / "weights.safetensors"
        path.write_bytes(pickle.dumps(value))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=form == "torch")
    with pytest.raises(ConfigError, match=r"refused|damaged"):
        read_weights(path)
    assert not proof.exists()
    pickle.loads(pickle.dumps(value))  # noqa: S301 - shows that the code would run
    assert proof.exists()


@pytest.mark.parametrize(
    "read", [read_weights, lambda path: parse_weights(path, path.read_bytes())]
)
def test_a_tensor_that_is_larger_than_the_file_is_refused(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "weights.pth"
    huge = torch.zeros(1).expand(30_000_000_000)
    torch.save({"state_dict": ONE | {"huge": huge}}, path)
    with pytest.raises(ConfigError, match="huge would take 120000000000 bytes"):
        read(path)


def test_a_pickled_module_is_refused_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"refused.*Linear.*save its state_dict\(\) alone"):
        read_weights(save(tmp_path, nn.Linear(2, 2)))


def test_other_kinds_of_files_are_refused_by_kind(tmp_path: Path) -> None:
    scripted = tmp_path / "scripted.pt"
    script(nn.Linear(2, 2)).save(str(scripted))
    keras = tmp_path / "model.hdf5"
    keras.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    empty, text = tmp_path / "empty.pth", tmp_path / "text.pth"
    empty.touch()
    text.write_text("not weights")
    for path, message in (
        (scripted, r"exported module \(TorchScript\)"),
        (keras, r"found HDF5 \(Keras\)"),
        (empty, "not a weight file|refused"),
        (text, "not a weight file|refused"),
        (tmp_path / "missing.pth", "No such file"),
        (tmp_path, "found a folder; for a run, give one of its networks"),
        (save(tmp_path, {"epoch": 3}, "none.pth"), "expected a state dict"),
        (save(tmp_path, [1, 2], "list.pth"), "expected a state dict"),
    ):
        with pytest.raises(ConfigError, match=message):
            read_weights(path)


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path, ONE)
    content = path.read_bytes()
    for length in (1, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(ConfigError, match=r"not a weight file|refused"):
            read_weights(path)
