"""A signed model file is that of the owner of the key, whole and unchanged."""

import importlib
import json
import time
import zipfile
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from asd_monitor.cli import COMMANDS, create_app
from asd_monitor.commands.options import Device
from asd_monitor.commands.run import load_settings
from asd_monitor.config import from_options
from asd_monitor.errors import ConfigError, ModelFileError, UntrustedModelError
from asd_monitor.model_file import load, pack, save, script, verify
from asd_monitor.model_file.archive import unseal
from asd_monitor.model_file.keys import create_key, own_key, public_key, read_key
from asd_monitor.model_file.made_here import forget_made
from asd_monitor.model_file.newest import FILE_NAME
from asd_monitor.model_file.policy import LoadPolicy
from asd_monitor.model_file.signature import read_signature, sign
from asd_monitor.runtime.builder import build_monitor
from asd_monitor.runtime.detectors import load_policy
from asd_monitor.runtime.model_store import save_model
from asd_monitor.runtime.own_signature import sign_own
from asd_monitor.runtime.state_dir import StateFolder
from tests.rig.hostile_models import change_members, make_foreign, save_foreign
from tests.rig.played_source import PlayedSource
from tests.rig.toy_model import LogBands, manifest, save_toy


def run(*arguments: object) -> str:
    done = CliRunner().invoke(create_app(), [str(argument) for argument in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def key(tmp_path: Path) -> str:
    """Return the public key of a maker, whose private one is in plant.pem."""
    return run("sign", "--new-key", tmp_path / "plant.pem").strip()


@pytest.fixture
def signed(tmp_path: Path, key: str) -> Path:
    model = save_foreign(tmp_path / "toy.asd")
    run("sign", model, "--key", tmp_path / "plant.pem")
    return model


def test_a_new_key_is_readable_by_its_owner_only_and_never_overwritten(
    tmp_path: Path, key: str
) -> None:
    path = tmp_path / "plant.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert run("sign", "--show-key", "--key", path).strip() == key
    content = path.read_bytes()
    with pytest.raises(ModelFileError, match="never overwritten"):
        run("sign", "--new-key", path)
    assert path.read_bytes() == content
    path.chmod(0o644)
    with pytest.raises(ModelFileError, match="chmod 600"):
        read_key(path)


def test_a_signed_file_is_trusted_and_names_its_key(signed: Path, key: str) -> None:
    policy = LoadPolicy(frozenset([key]))
    assert verify(signed, policy).origin == f"signed with the trusted key {key}"
    assert f"signed with the trusted key {key}" in run("inspect", signed, "--trusted-key", key)
    assert "no key is trusted" in run("inspect", signed)


def test_an_unsigned_file_is_logged_once_however_often_it_is_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = save_foreign(tmp_path / "fan.asd")
    with caplog.at_level("INFO"):
        for _ in range(2):
            load(model, policy=LoadPolicy())
    assert caplog.text.count("not signed") == 1


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_programs_that_know_no_signatures_read_a_signed_file(signed: Path) -> None:
    assert unseal(signed.read_bytes(), signed)
    module = torch.jit.load(signed)  # type: ignore[no-untyped-call]
    assert module(torch.zeros(1, 800), torch.zeros(1, dtype=torch.int64)).shape == (1,)


@pytest.mark.parametrize("is_signed", [False, True])
def test_an_unsigned_or_foreign_file_is_refused_where_keys_are_trusted(
    tmp_path: Path, signed: Path, is_signed: bool
) -> None:
    other = public_key(create_key(tmp_path / "other.pem"))
    model = signed if is_signed else save_foreign(tmp_path / "unsigned.asd")
    reason = "which is not trusted" if is_signed else "it is not signed"
    for read in (verify, load):
        with pytest.raises(UntrustedModelError, match=reason) as found:
            read(model, policy=LoadPolicy(frozenset([other])))
        assert "asd-monitor sign" in str(found.value)
    with pytest.raises(UntrustedModelError, match=reason):
        run("inspect", model, "--trusted-key", other)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Return a folder with recordings, of the layout that each command expects."""
    folder = tmp_path / "data"
    sound = np.random.default_rng(0).standard_normal(16_000).astype("float32") / 10
    for name in ("train/a.wav", "test/normal/a.wav", "test/anomaly/b.wav", "streams/c.wav"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, sound, 16_000)
    (folder / "streams" / "c.csv").write_text("start_s,end_s,label\n")
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "inspect MODEL",
        "inspect MODEL --run",
        "score DATA/train/a.wav --model MODEL",
        "picture DATA/train/a.wav --model MODEL --out DATA/a.png",
        "calibrate DATA/train/a.wav --model MODEL",
        "replay DATA --model MODEL",
        "replay DATA --model MODEL --timeline",
        "bench cpu --quick --model MODEL",
    ],
)
def test_every_command_that_takes_a_model_file_refuses_one_of_an_untrusted_maker(
    tmp_path: Path, signed: Path, recordings: Path, command: str
) -> None:
    other = public_key(create_key(tmp_path / "other.pem"))
    words = command.replace("MODEL", str(signed)).replace("DATA", str(recordings)).split()
    with pytest.raises(UntrustedModelError, match="which is not trusted"):
        run(*words, "--trusted-key", other)


def test_every_command_that_takes_a_model_file_takes_trusted_keys() -> None:
    taking = {}
    for name in COMMANDS:
        function = getattr(importlib.import_module(f"asd_monitor.commands.{name}"), name)
        hints = get_type_hints(function, include_extras=True)
        model = getattr(hints.get("model"), "__metadata__", ())
        if any("FILE" in str(option.metavar) for option in model):
            taking[name] = "trusted_key" in hints
    assert {"run", "score", "replay", "doctor"} <= set(taking)
    # detectability reads the manifest only, and fits models of its own
    assert [name for name, takes_keys in taking.items() if not takes_keys] == ["detectability"]


def test_keys_of_the_command_line_replace_those_of_the_configuration(key: str) -> None:
    settings = load_settings(
        None, {"pump": {"mic": 0}}, {"device": Device.AUTO, "mqtt": None, "trusted_key": [key]}
    )
    assert settings.models.trusted_keys == (key,)
    with pytest.raises(ConfigError, match="is for a model file"):
        run("replay", "nowhere", "--trusted-key", key)


def test_a_member_that_is_changed_added_or_removed_breaks_the_signature(
    signed: Path, key: str
) -> None:
    content = signed.read_bytes()
    with zipfile.ZipFile(signed) as archive:
        comment = archive.comment
        names = [name for name in archive.namelist() if "/extra/" in name]
    changes = [
        lambda name, member: member + b" " if name == names[0] else member,
        lambda name, member: None if name.endswith("golden.json") else member,
        lambda _, member: member,  # only the order and the padding
    ]
    for change in changes:
        signed.write_bytes(content)
        change_members(signed, change)
        with zipfile.ZipFile(signed, "a") as archive:
            archive.comment = comment
        signature = read_signature(signed.read_bytes())
        assert signature is not None
        assert not signature.is_valid
        for policy in (LoadPolicy(), LoadPolicy(frozenset([key]))):
            with pytest.raises(ModelFileError):
                verify(signed, policy)


def test_a_signature_does_not_fit_another_file(signed: Path, key: str, tmp_path: Path) -> None:
    other = make_foreign(save_toy(tmp_path / "other.asd", {"revision": "2"}))
    with zipfile.ZipFile(signed) as source, zipfile.ZipFile(other, "a") as target:
        target.comment = source.comment
    with pytest.raises(UntrustedModelError, match="does not fit its content"):
        verify(other, LoadPolicy(frozenset([key])))
    with pytest.raises(UntrustedModelError, match="does not fit its content"):
        verify(other)


@pytest.mark.parametrize("removed", [1, 100, 157, 1000])
def test_a_file_that_is_cut_short_is_refused(signed: Path, key: str, removed: int) -> None:
    signed.write_bytes(signed.read_bytes()[:-removed])
    with pytest.raises(ModelFileError):
        verify(signed, LoadPolicy(frozenset([key])))


def test_what_follows_the_signature_is_refused(signed: Path, key: str) -> None:
    content = signed.read_bytes()
    for more in (b"\n", content):
        signed.write_bytes(content + more)
        if more == content:
            continue
        with pytest.raises(ModelFileError):
            verify(signed, LoadPolicy(frozenset([key])))


def test_a_signature_replaces_an_earlier_one(signed: Path, tmp_path: Path, key: str) -> None:
    content = signed.read_bytes()
    run("sign", signed, "--key", tmp_path / "plant.pem")
    assert signed.read_bytes() == content
    run("sign", "--new-key", tmp_path / "other.pem")
    run("sign", signed, "--key", tmp_path / "other.pem")
    assert len(signed.read_bytes()) == len(content)
    with pytest.raises(UntrustedModelError, match="not trusted"):
        verify(signed, LoadPolicy(frozenset([key])))


def test_a_damaged_file_is_not_signed(signed: Path, tmp_path: Path) -> None:
    content = bytearray(signed.read_bytes())
    content[len(content) // 2] ^= 1
    signed.write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged"):
        run("sign", signed, "--key", tmp_path / "plant.pem")


def test_what_is_learned_here_is_signed_here_and_trusted(tmp_path: Path, key: str) -> None:
    state = StateFolder(tmp_path / "state")
    save_model(state, "pump", save_toy(tmp_path / "toy.asd").read_bytes())
    forget_made()  # as after a restart
    assert (tmp_path / "state" / "signing-key.pem").stat().st_mode & 0o777 == 0o600
    policy = LoadPolicy.of_state(state.root, [key])
    assert verify(state.model_path("pump"), policy).origin == "signed here"
    elsewhere = LoadPolicy.of_state(tmp_path / "elsewhere", [key])
    with pytest.raises(UntrustedModelError, match="not trusted"):
        verify(state.model_path("pump"), elsewhere)
    exchanged = LoadPolicy.of_state(tmp_path / "elsewhere", [public_key(own_key(state.root))])
    assert verify(state.model_path("pump"), exchanged)


def test_an_untrusted_model_makes_its_machine_unknown_and_the_others_run(
    tmp_path: Path, key: str
) -> None:
    state = StateFolder(tmp_path / "state")
    state.make(state.root)
    unsigned = state.make(state.root / "models") / "fan.asd"
    save_foreign(unsigned)
    save_model(state, "pump", save_toy(tmp_path / "toy.asd").read_bytes())
    config = from_options(
        {
            "machines": {name: {"mic": 0, "target": name} for name in ("pump", "fan")},
            "models": {"trusted_keys": [key]},
            "state_dir": str(state.root),
            "mqtt": None,
            "prometheus": None,
            "web": None,
        }
    )
    forget_made()
    sources = {name: PlayedSource(name) for name in config.machines}
    handle = build_monitor(config, sources=sources)
    try:
        handle.monitor.start()
        deadline_s = time.monotonic() + 300
        while handle.monitor.detector("pump") is None:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        pump, fan = handle.monitor.pipelines
        assert fan.detector is None
        assert "it is not signed" in fan.model_problem
        assert pump.model_problem == ""
    finally:
        handle.close()
    assert unsigned.exists()


def test_a_text_that_is_no_public_key_is_a_mistake_in_the_configuration() -> None:
    machines = {"pump": {"mic": 0}}
    for text in ("plant", "ed25519:AAAA", "ed25519:" + "A" * 44, "rsa:" + "A" * 43 + "="):
        with pytest.raises(ConfigError, match="expected a public key such as ed25519:"):
            from_options({"machines": machines, "models": {"trusted_keys": [text]}})


def test_sign_says_what_it_expects(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--new-key, or --show-key"):
        run("sign")
    with pytest.raises(ModelFileError, match="--new-key"):
        run("sign", "--show-key", "--key", tmp_path / "none.pem")
    assert sign(b"no archive\0\0", create_key(tmp_path / "key.pem"))


def test_an_older_file_in_the_place_of_a_newer_one_is_refused(tmp_path: Path, key: str) -> None:
    state, place = StateFolder(tmp_path / "state"), tmp_path / "pump.asd"
    config = from_options({"machines": {"pump": {"wav": "x.wav", "model": str(place)}},
                           "models": {"trusted_keys": [key]}})  # fmt: skip
    older, newer = (tmp_path / f"{year}.asd" for year in ("older", "newer"))
    for path, year in ((older, 2025), (newer, 2026)):
        save(path, script(LogBands()), manifest(created_at=f"{year}-11-30T12:00:00+00:00"))
        make_foreign(path)
        run("sign", path, "--key", tmp_path / "plant.pem")
    for path in (older, newer, newer):
        place.write_bytes(path.read_bytes())
        load(place, policy=load_policy(config, state))
    place.write_bytes(older.read_bytes())
    for read in (load, verify):
        with pytest.raises(UntrustedModelError, match="allow_older"):
            read(place, policy=load_policy(config, state))
    load(older, policy=load_policy(config, state))  # elsewhere nothing newer was used
    models = config.models.model_copy(update={"allow_older": True})
    load(place, policy=load_policy(config.model_copy(update={"models": models}), state))
    load(place, policy=load_policy(config, state))  # it has become the newest one
    for damaged in (b"{", json.dumps({f"{place} {key}": "2027-01-01T00:00:00"}).encode()):
        (state.root / FILE_NAME).write_bytes(damaged)
        load(place, policy=load_policy(config, state))


def test_a_model_of_the_maker_can_be_taken_back_after_it_was_learned_again(
    tmp_path: Path, key: str
) -> None:
    """The earlier one is as new as the newest that was used, and one made here has no maker."""
    state = StateFolder(tmp_path / "state")
    config = from_options({"machines": {"pump": {"wav": "x.wav"}},
                           "models": {"trusted_keys": [key]}})  # fmt: skip
    place, maker, policy = state.model_path("pump"), tmp_path / "maker.asd", load_policy
    save(maker, script(LogBands()), manifest(created_at="2026-11-30T12:00:00+00:00"))
    make_foreign(maker)
    run("sign", maker, "--key", tmp_path / "plant.pem")
    state.make(place.parent)
    place.write_bytes(maker.read_bytes())
    load(place, policy=policy(config, state))
    content = pack(script(LogBands()), manifest(created_at="2020-01-01T12:00:00+00:00"))
    place.write_bytes(sign_own(state, content))
    forget_made()  # as in another process
    load(place, policy=policy(config, state))
    place.write_bytes(maker.read_bytes())
    load(place, policy=policy(config, state))
    assert "allow_older" not in run("inspect", place, "--trusted-key", key)
