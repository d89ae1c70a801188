"""Hostile settings, archives, tables and texts are bounded or escaped."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from asd_monitor import config, settings_file
from asd_monitor.errors import ConfigError, ModelFileError
from asd_monitor.model_file import read_manifest
from asd_monitor.model_file.archive import INTEGRITY_MEMBER, seal
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sources.microphone.child_process import capture_environment
from asd_monitor.storage.csv_cells import plain_cell
from tests.rig.toy_model import save_toy


@pytest.mark.parametrize("merged", [False, True])
def test_aliases_that_multiply_are_refused_without_being_followed(merged: bool) -> None:
    lines = ["a0: &a0 {x: 1}" if merged else "a0: &a0 [x, x]"]
    for level in range(1, 17):
        aliases = ", ".join([f"*a{level - 1}"] * 3)
        value = f"{{<<: [{aliases}]}}" if merged else f"[{aliases}]"
        lines.append(f"a{level}: &a{level} {value}")
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match="expected at most 10000 values"):
            settings_file.parse("\n".join(lines), "bomb.yaml")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_a_list_that_contains_itself_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected at most 10000 values"):
        settings_file.parse("machines: &m [*m]", "bomb.yaml")


def test_settings_of_many_machines_are_read() -> None:
    machines = "\n".join(f"  m{n}: {{mic: {n}, name: M, kind: pump}}" for n in range(1000))
    assert (
        len(settings_file.parse(f"machines:\n{machines}", "many.yaml").values["machines"]) == 1000
    )


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("model/extra/manifest.json", bytes(100_000_000))
        opened.writestr(INTEGRITY_MEMBER, "{}")
    path = tmp_path / "bomb.asd"
    path.write_bytes(buffer.getvalue())
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError, match="times its size"):
            read_manifest(path)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_the_weights_of_a_model_are_hashed_without_being_held_twice(tmp_path: Path) -> None:
    content = save_toy(tmp_path / "toy.asd").read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as opened:
        for name in source.namelist():
            if name != INTEGRITY_MEMBER:
                opened.writestr(name, source.read(name))
        opened.writestr("toy/data/weights", bytes(50_000_000))
    path = tmp_path / "large.asd"
    path.write_bytes(seal(buffer.getvalue()))
    del buffer
    tracemalloc.start()
    try:
        read_manifest(path)
        assert tracemalloc.get_traced_memory()[1] < 60e6  # the file itself, once
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "settings",
    [
        {"mqtt": {"host": "plant:s3cret@broker"}},
        {"mqtt": {"host": "broker", "base_topic": "plant:s3cret@broker#"}},
        {"node": "plant:s3cret@broker"},
    ],
)
def test_an_error_does_not_repeat_a_password(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as found:
        config.from_options({"machines": {"pump": {"mic": 0}}} | settings)
    assert "s3cret" not in str(found.value)


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"host": "10.1.2.3"}, True),
        ({"host": "broker.plant.example"}, True),
        ({"host": "10.1.2.3", "tls": "on"}, False),
        ({"host": "localhost"}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
    ],
)
def test_a_password_over_an_unencrypted_network_is_warned_of(
    changes: dict[str, object], warned: bool
) -> None:
    values = {"username": "plant", "password_env": "PLANT"} | changes
    risk = MqttSettings.model_validate(values).describe_risk()
    assert ("tls: on" in risk) == warned


def test_a_password_file_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("s3cret")
    settings = MqttSettings(host="127.0.0.1", username="plant", password_file=path)
    path.chmod(0o644)
    assert "chmod 600" in settings.describe_risk()
    path.chmod(0o600)
    assert settings.describe_risk() == ""


def test_a_capture_process_gets_no_secrets() -> None:
    environ = {"MQTT_PASSWORD": "s3cret", "PLANT": "s3cret", "GITHUB_TOKEN": "s3cret"}
    needed = {"PATH": "/bin", "ALSA_CONFIG_PATH": "/a", "XDG_RUNTIME_DIR": "/run", "LC_ALL": "C"}
    passed = capture_environment(environ | needed)
    assert "s3cret" not in passed.values()
    assert needed.items() <= passed.items()


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_that_a_spreadsheet_would_compute_is_text(text: str) -> None:
    assert plain_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["-1.5", "+3e-7", "-inf", "fan", "", 3, -1.5, None])
def test_other_cells_are_unchanged(value: object) -> None:
    assert plain_cell(value) is value
