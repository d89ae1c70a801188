"""A model file is a program of its maker: what no model needs is refused before torch reads it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import load, pack, script, trial, try_new, verify
from asd_monitor.model_file.keys import create_key, public_key
from asd_monitor.model_file.policy import LoadPolicy
from asd_monitor.model_file.scan import scan
from asd_monitor.model_file.signature import sign
from asd_monitor.model_file.verdicts import forget_passed
from tests.rig.hostile_models import (
    Copying,
    Endless,
    Greedy,
    Writing,
    WritingWhenLoaded,
    change_members,
    make_foreign,
    save_foreign,
    save_hostile,
    save_that_fails_later,
)
from tests.rig.toy_model import LogBands, manifest


@pytest.mark.parametrize(
    ("kind", "found"),
    [(Writing, "torch.from_file"), (Copying, "torch.save"), (WritingWhenLoaded, "__getstate__")],
)
def test_a_model_that_uses_files_is_refused_before_it_is_loaded(
    kind: type[torch.nn.Module], found: str, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    model = save_hostile(tmp_path / "hostile.asd", kind(str(victim)))
    victim.write_bytes(b"A")
    for read in (verify, load):
        with pytest.raises(ModelFileError, match=rf"code/.*\.py, line \d+: it \w+ {found}"):
            read(model)
    assert victim.read_bytes() == b"A"


def test_a_model_that_uses_files_cannot_be_made_here(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"it uses torch\.from_file"):
        pack(script(Writing(str(tmp_path / "victim"))), manifest())


def check(code: str, *, pickled: bytes = b"\x80\x02N.", name: str = "code/__torch__.py") -> None:
    members = {f"a/{name}": code.encode(), "a/data.pkl": pickled}
    scan(members, [*members, "integrity.json"], Path("model.asd"))


def method(statement: str) -> str:
    return (
        "class A(Module):\n  __parameters__ = []\n"
        f"  def forward(self, x: Tensor) -> Tensor:\n    {statement}\n"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "return torch.add(x, 1)",
        "return (self).forward(x, )",
        "y = annotate(List[int], [1, 2])",
        'if torch.__not__(True):\n      ops.prim.RaiseException("no # such \' text", "builtins.E")',
        "y = torch.mul(CONSTANTS.c0, -1.5e-05)",
    ],
)
def test_ordinary_code_is_allowed(statement: str) -> None:
    check(method(statement))


@pytest.mark.parametrize(
    "statement",
    [
        'f = torch.from_file\n    return f("/etc/passwd", True, 4)',
        'return torch.save(x, "file")',
        "t = torch\n    return t.add(x, 1)",
        'return getattr(torch, "save")(x, "file")',
        'return getattr(x, "save")("file")',
        'return x.save("file")',
        "return torch.as_strided(x, [9], [1], 99999)",
        "return ops.aten.save(x, 1)",
        "return ops.prim.rpc_sync(x)",
        "return fork(self.forward, x)",
        'print(x)\n    open("file")',
        "y = __torch__.torch.classes.quantized.Conv2dPackedParamsBase(x)",
        "y = __torch__.elsewhere.A",
        "torch = x",
        "y = lambda: x",
        "y = [z for z in x]",
        'y = f"{x}"',
        "y = 1 # torch.save",
        "y = 'single'",
        'y = """several"""',
        "y = x; z = x",
        "y = x\\\n",
        "y = x\r    torch.save(x)",
        "y = \u00e9",
        "y = (",
        "y = " + "(" * 5000,
    ],
)
def test_other_code_is_refused(statement: str) -> None:
    with pytest.raises(ModelFileError, match="so it is not loaded"):
        check(method(statement))


@pytest.mark.parametrize("name", ["__setstate__", "__getstate__", "save", "set_", "from_file"])
def test_a_class_may_not_define_what_torch_calls_or_has(name: str) -> None:
    with pytest.raises(ModelFileError, match=f"it defines {name}"):
        check(f"class A(Module):\n  def {name}(self, x: Tensor) -> Tensor:\n    return x\n")
    with pytest.raises(ModelFileError, match=f"it defines {name}"):
        check(f"class A(Module):\n  {name} : Tensor\n")


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02cos\nsystem\n.",
        b"\x80\x02c__torch__.torch.classes.quantized\nLinearPackedParamsBase\n.",
        b"\x80\x02c__torch__\nB\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x02ios\nsystem\n.",
        b"\x80\x02\x8aN",
    ],
)
def test_pickles_create_nothing_but_tensors_and_the_classes_of_the_model(pickled: bytes) -> None:
    check(method("return x"), pickled=b"\x80\x02c__torch__\nA\n.")
    with pytest.raises(ModelFileError, match="so it is not loaded"):
        check(method("return x"), pickled=pickled)


@pytest.mark.parametrize("name", ["code/../x.py", "model.json", "bytecode.pkl", "code/x.py.so"])
def test_an_unexpected_member_is_refused(name: str) -> None:
    with pytest.raises(ModelFileError, match="an unexpected member"):
        check("", name=name)


@pytest.fixture(scope="module")
def shared_trial() -> Iterator[trial.Trial]:
    """Return a trial, whose start takes seconds."""
    with trial.Trial("torchscript") as started:
        yield started


def test_an_endless_model_is_ended(
    shared_trial: trial.Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "MAX_CPU_S", 1)
    model = save_that_fails_later(tmp_path / "endless.asd", Endless())
    verify(model)  # its code alone is not suspicious
    with pytest.raises(ModelFileError, match=r"endless\.asd: it took more than 1 s of processor"):
        shared_trial.run(model.read_bytes(), model)


def test_a_model_that_takes_all_memory_is_refused(
    shared_trial: trial.Trial, tmp_path: Path
) -> None:
    model = save_that_fails_later(tmp_path / "greedy.asd", Greedy())
    verify(model)
    with pytest.raises(ModelFileError, match=r"greedy\.asd.*alloc"):
        shared_trial.run(model.read_bytes(), model)


@pytest.mark.parametrize("kind", [Writing, Copying, WritingWhenLoaded])
def test_a_trial_cannot_write_files(
    kind: type[torch.nn.Module], shared_trial: trial.Trial, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    model = save_hostile(tmp_path / "hostile.asd", kind(str(victim)))
    assert victim.exists()  # it was run here
    victim.write_bytes(b"A")
    with suppress(ModelFileError):
        shared_trial.run(model.read_bytes(), model)
    assert victim.read_bytes() == b"A"
    victim.unlink()
    with suppress(ModelFileError):
        shared_trial.run(model.read_bytes(), model)
    assert not victim.exists()


def test_a_good_model_passes_its_trial_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = save_foreign(tmp_path / "toy.asd")
    verdicts = tmp_path / "state" / "checked-models"
    policy = LoadPolicy(verdicts=verdicts)
    assert load(model, "cpu", policy=policy).manifest.name == "log bands"
    make_foreign(model)
    monkeypatch.setattr("subprocess.Popen", None)
    assert load(model, "cpu", policy=policy).manifest.name == "log bands"
    assert len(list(verdicts.iterdir())) == 1
    change_members(model, lambda name, content: content)  # another file
    with pytest.raises(TypeError):
        load(model, "cpu", policy=policy)


def test_a_failed_trial_is_remembered_until_the_limits_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "MAX_CPU_S", 1)
    model = save_that_fails_later(tmp_path / "endless.asd", Endless())
    policy = LoadPolicy(verdicts=tmp_path / "checked-models")
    announced: list[tuple[Path, float]] = []
    [problem] = try_new([model], policy, lambda *trial: announced.append(trial)).values()
    assert announced == [(model, 2.0 + trial.MAX_START_S)]
    forget_passed()
    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", None)
        moved = model.rename(tmp_path / "moved.asd")
        with pytest.raises(
            ModelFileError, match=r"moved\.asd: it took more than 1 s.*found earlier"
        ):
            load(moved, "cpu", policy=policy)
        forget_passed()
        patched.setattr(trial, "MAX_CPU_S", 2)
        with pytest.raises(TypeError):  # it is tried again
            load(moved, "cpu", policy=policy)
    assert "endless.asd: it took more than 1 s" in str(problem)


def test_damaged_files_are_refused_with_an_error_of_the_program(tmp_path: Path) -> None:
    key = create_key(tmp_path / "key.pem")
    content = sign(save_foreign(tmp_path / "toy.asd").read_bytes(), key)
    policy = LoadPolicy(frozenset([public_key(key)]))
    damaged = tmp_path / "damaged.asd"
    damaged.write_bytes(content)
    verify(damaged, policy)
    rng = np.random.default_rng(4)
    for _ in range(150):
        changed = bytearray(content)
        for place in rng.integers(len(content), size=rng.choice([1, 1, 8, 64])):
            changed[place] ^= rng.integers(1, 256)
        kept = len(content) if rng.random() < 0.5 else int(rng.integers(len(content)))
        damaged.write_bytes(changed[:kept])
        with pytest.raises(ModelFileError):
            verify(damaged, policy)


def test_changed_code_and_values_never_end_the_scan_otherwise(tmp_path: Path) -> None:
    """A maker who changes a member can seal the file again, so the scan sees damaged members."""
    path = save_foreign(tmp_path / "toy.asd")
    content = path.read_bytes()
    rng = np.random.default_rng(5)

    def damage(name: str, member: bytes) -> bytes:
        if not name.endswith((".py", "pkl")) or rng.random() < 0.8:
            return member
        changed = bytearray(member)
        for place in rng.integers(len(changed), size=rng.choice([1, 5])):
            changed[place] = rng.integers(256)
        return bytes(changed)

    outcomes = set()
    for _ in range(100):
        path.write_bytes(content)
        change_members(path, damage)
        try:
            outcomes.add(verify(path).origin)
        except ModelFileError:
            outcomes.add("refused")
    assert len(outcomes) == 2


def test_the_scan_accepts_what_torch_writes() -> None:
    assert pack(script(LogBands()), manifest())
