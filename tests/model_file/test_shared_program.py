"""Model files that differ in tensors only share one compiled program, and score as before."""

import gc
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import load, save, script
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.torchscript import compile_program
from tests.rig.hostile_models import change_members, make_foreign
from tests.rig.toy_model import manifest, noise

TARGETS = np.array([0, 1, 1])


class Part(torch.nn.Module):
    """Scale by a factor."""

    factor: torch.Tensor

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return scaled values."""
        return values * self.factor


class Levels(torch.nn.Module):
    """Distance to the nearest of any number of references, and attributes of every kind."""

    references: torch.Tensor

    def __init__(
        self,
        references: int = 3,
        seed: int = 0,
        changes: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.register_buffer("references", torch.rand((references, 1), generator=random))
        self.linear = torch.nn.Linear(1, 1)
        self.parts = torch.nn.ModuleList([Part(1.0 + seed), Part(2.0)])
        self.offset = 0.25
        self.count = 2
        self.inverted = False
        self.name = "levels"
        self.sizes = [2, 3]
        self.limits = (0.5, 1.5)
        self.weights = {"mean": 1.0}
        for name, value in changes.items():
            setattr(self, name, value)

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Score windows; higher = more anomalous."""
        level = self.linear(waveform.square().mean(1, keepdim=True))
        for part in self.parts:
            level = part(level)
        score: torch.Tensor = (
            (level - self.references.transpose(0, 1)).abs().amin(1) + self.offset + self.count
        )
        score = score + self.limits[1] + self.weights["mean"] + self.sizes[0] + len(self.name)
        score = -score if self.inverted else score
        return score + 0 * target


class OtherCode(Levels):
    """The same attributes, and another computation."""

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Score windows by their level."""
        score: torch.Tensor = waveform.square().mean(1) + self.offset
        return score


def save_levels(path: Path, module: torch.nn.Module) -> Path:
    save(path, script(module), manifest())
    return path


def assert_scores_ascompile_programd_alone(model: LoadedModel, path: Path) -> None:
    alone = LoadedModel(compile_program(path.read_bytes(), "cpu"), model.manifest, "", "cpu")
    windows = noise(3)
    np.testing.assert_array_equal(model.score(windows, TARGETS), alone.score(windows, TARGETS))


def shares(model: LoadedModel, other: LoadedModel) -> bool:
    return bool(model.module._c._type() == other.module._c._type())


def test_models_that_differ_in_tensors_share_a_program_and_score_bit_for_bit(
    tmp_path: Path,
) -> None:
    paths = [save_levels(tmp_path / f"{seed}.asd", Levels(seed=seed)) for seed in range(3)]
    models = [load(path, "cpu") for path in paths]
    for model, path in zip(models, paths, strict=True):
        assert shares(model, models[0])
        assert_scores_ascompile_programd_alone(model, path)
    assert len({model.score(noise(3), TARGETS)[0] for model in models}) == 3


def test_the_number_of_references_may_differ(tmp_path: Path) -> None:
    few = load(save_levels(tmp_path / "few.asd", Levels(2)), "cpu")
    many = load(save_levels(tmp_path / "many.asd", Levels(5)), "cpu")
    assert shares(few, many)
    assert_scores_ascompile_programd_alone(few, tmp_path / "few.asd")
    assert_scores_ascompile_programd_alone(many, tmp_path / "many.asd")


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": 0.26},
        {"count": 3},
        {"inverted": True},
        {"name": "other level"},
        {"sizes": [4, 3]},
        {"limits": (0.5, 2.5)},
        {"weights": {"mean": 3.0}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_models_with_another_attribute_do_not_share(
    changes: Mapping[str, object], tmp_path: Path
) -> None:
    first = load(save_levels(tmp_path / "first.asd", Levels()), "cpu")
    other = load(save_levels(tmp_path / "other.asd", Levels(changes=changes)), "cpu")
    assert not shares(first, other)
    assert_scores_ascompile_programd_alone(other, tmp_path / "other.asd")


def test_models_with_other_code_do_not_share(tmp_path: Path) -> None:
    first = load(save_levels(tmp_path / "first.asd", Levels()), "cpu")
    path = save_levels(tmp_path / "other.asd", OtherCode())
    change_members(path, lambda _, content: content.replace(b"OtherCode", b"Levels"))
    other = load(make_foreign(path), "cpu")
    assert not shares(first, other)
    assert_scores_ascompile_programd_alone(other, path)


class WithList(torch.nn.Module):
    """A model with tensors in a list, which are not attributes of a module."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.levels = [torch.tensor(level), torch.tensor(2 * level)]

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Score windows by their level."""
        return waveform.square().mean(1) + self.levels[1]


def test_a_model_that_cannot_share_is_loaded_alone(tmp_path: Path) -> None:
    for level in (1.0, 2.0):
        path = save_levels(tmp_path / "list.asd", WithList(level))
        assert_scores_ascompile_programd_alone(load(path, "cpu"), path)


class WithView(torch.nn.Module):
    """A model with two views of the same memory, one of them transposed and with an offset."""

    whole: torch.Tensor
    part: torch.Tensor
    none: torch.Tensor
    flags: torch.Tensor

    def __init__(self, seed: int) -> None:
        super().__init__()
        whole = torch.rand((4, 3), generator=torch.Generator().manual_seed(seed))
        self.register_buffer("whole", whole)
        self.register_buffer("part", whole.transpose(0, 1)[1:])
        self.register_buffer("none", torch.empty(0, dtype=torch.int64))
        self.register_buffer("flags", torch.tensor([True, False]))

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Score windows by their level."""
        weight = (self.part[0] * self.whole[:, 2]).sum() + self.none.sum() + self.flags.sum()
        return waveform.square().mean(1) * weight


def test_views_empty_tensors_and_other_types_are_restored(tmp_path: Path) -> None:
    models = []
    for seed in (0, 1):
        path = save_levels(tmp_path / "view.asd", WithView(seed))
        models.append(load(path, "cpu"))
        assert_scores_ascompile_programd_alone(models[-1], path)
    assert shares(*models)
    whole, part = models[1].module.whole, models[1].module.part
    assert whole.untyped_storage().data_ptr() == part.untyped_storage().data_ptr()


def test_a_program_is_released_with_the_last_model_that_uses_it(tmp_path: Path) -> None:
    from asd_monitor.model_file import shared_program

    first = load(save_levels(tmp_path / "first.asd", Levels(seed=1)), "cpu")
    key = next(key for key, value in shared_program._programs.items() if value is first._program)
    second = load(save_levels(tmp_path / "second.asd", Levels(seed=2)), "cpu")
    assert second._program is first._program
    del first
    gc.collect()
    assert key in shared_program._programs
    del second
    gc.collect()
    assert key not in shared_program._programs


def test_a_file_of_a_known_program_is_checked_as_every_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = load(save_levels(tmp_path / "known.asd", Levels(seed=1)), "cpu")
    path = save_levels(tmp_path / "foreign.asd", Levels(seed=2))

    def change_values(name: str, content: bytes) -> bytes:
        return content[::-1] if name.endswith("/data/0") else content

    change_members(path, change_values)
    tried: list[Path] = []
    monkeypatch.setattr(
        "asd_monitor.model_file.trial.Trial.run", lambda _, content, path: tried.append(path)
    )
    with pytest.raises(ModelFileError, match="does not reproduce its reference scores"):
        load(make_foreign(path), "cpu")
    assert tried == [path]
    assert known.score(noise(3), TARGETS).shape == (3,)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch compiles for the shapes on a GPU")
def test_programs_are_compiled_once_not_for_each_shape(tmp_path: Path) -> None:
    load(save_levels(tmp_path / "a.asd", Levels()))
    was_profiling = torch._C._jit_set_profiling_mode(False)
    assert not was_profiling
