"""The settings made on pages: below the configuration, valid, and private."""

import stat
from pathlib import Path
from typing import Any

import pytest

from asd_monitor import settings_file
from asd_monitor.errors import ConfigError
from asd_monitor.history.settings import HistorySettings
from asd_monitor.runtime.page_settings import FILE_NAME, PageSettings
from asd_monitor.runtime.state_dir import StateFolder

MACHINE = {"name": "Feed pump 1", "mic": {"device": "usb:1:2:A", "channel": 0}}


def make(folder: Path, text: str = "web: on\n", **options: bool) -> PageSettings:
    base = settings_file.parse(text, "plant.yaml")
    return PageSettings(base, StateFolder(folder), **options)


def add_pump(values: dict[str, Any]) -> None:
    values.setdefault("machines", {})["pump"] = MACHINE


def test_a_machine_of_the_page_is_one_of_the_next_start(tmp_path: Path) -> None:
    make(tmp_path).change(add_pump)
    assert make(tmp_path).load().display_names == {"pump": "Feed pump 1"}


def test_the_file_can_be_read_by_its_user_only(tmp_path: Path) -> None:
    make(tmp_path).change(add_pump)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600
    assert not list(tmp_path.glob("*.part"))


def test_what_the_configuration_sets_wins_by_section_and_by_machine(tmp_path: Path) -> None:
    text = "machines:\n  fan: {mic: 0}\n  pump: {mic: 1}\nhistory: {scores_days: 2}\n"
    page = make(tmp_path)
    page.change(add_pump)
    page.change(lambda values: values["machines"].update(mixer=MACHINE))
    page.change(lambda values: values.update(history={"scores_days": 90, "max_mb": 10}))
    config = make(tmp_path, text).load()
    assert list(config.machines) == ["fan", "pump", "mixer"]
    assert config.machines["pump"].source.description == "microphone 1"
    history = config.sink_settings(HistorySettings)
    assert history == HistorySettings(scores_days=2)


def test_machines_of_the_page_are_left_out_where_the_command_line_names_some(
    tmp_path: Path,
) -> None:
    make(tmp_path).change(add_pump)
    config = make(tmp_path, "machines: {fan: {mic: 0}}\n", with_machines=False).load()
    assert list(config.machines) == ["fan"]


def test_an_invalid_change_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    page = make(tmp_path)
    page.change(add_pump)
    before = page.path.read_text()
    with pytest.raises(ConfigError, match=r"this page: history\.scores_days: expected"):
        page.change(lambda values: values.update(history={"scores_days": -1}))
    assert page.path.read_text() == before


def test_an_error_in_the_file_of_the_page_names_that_file_and_its_line(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("history:\n  scores_days: -1\n")
    with pytest.raises(ConfigError, match=rf"{FILE_NAME}:2: history.scores_days"):
        make(tmp_path).load()


def test_the_file_of_the_page_cannot_move_the_page_or_itself(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("state_dir: /tmp\n")
    with pytest.raises(ConfigError, match=r"settings.yaml:1: state_dir: set this key in the conf"):
        make(tmp_path).load()


def test_each_value_has_its_origin(tmp_path: Path) -> None:
    page = make(tmp_path, "web: on\nmqtt:\n  host: broker\n")
    page.change(add_pump)
    assert page.origin(("mqtt", "host")).place == "plant.yaml:3"
    assert page.origin(("machines", "pump", "name")).kind == "page"
    assert page.origin(("evidence", "keep")).kind == "default"
    assert page.is_fixed(("mqtt",))
    assert not page.is_fixed(("machines", "pump"))
