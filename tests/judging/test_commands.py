"""Commands are small, well-formed, and about the machine of their topic."""

from pathlib import Path

import pytest

from asd_monitor.errors import ConfigError
from asd_monitor.judging.commands import execute, parse_command
from tests.rig.judging import NOW_S, make_event, make_store


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"ack",
        b"[]",
        b'{"do":"delete"}',
        b'{"do":"ack","sudo":1}',
        b'{"do":"ack","who":""}',
        b'{"do":"shelve","minutes":-5}',
        b'{"do":"shelve","minutes":NaN}',
        b'{"do":"ack","who":7}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_command_is_refused(payload: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_command("pump", payload)


@pytest.mark.parametrize("verdict", ["normal", "fault", "unsure"])
def test_a_verdict_without_an_event_is_about_the_newest(tmp_path: Path, verdict: str) -> None:
    events = [make_event("old", opened_s=NOW_S - 900), make_event("new")]
    store = make_store(tmp_path, *events)
    execute(store, parse_command("pump", b'{"do":"%s"}' % verdict.encode()), "mqtt")
    assert [store.event(name).verdict for name in ("old", "new")] == ["", verdict]


def test_shelving_lasts_as_long_as_the_command_says(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a"))
    for do, kind in (("shelve", "shelve"), ("maintenance", "maintenance")):
        command = parse_command("pump", b'{"do":"%s","minutes":90,"who":"bert"}' % do.encode())
        execute(store, command, "mqtt")
        (shelf,) = store.reader.shelves("pump", NOW_S)
        assert (shelf.until_s, shelf.kind, shelf.who) == (NOW_S + 5400, kind, "bert")
    execute(store, parse_command("pump", b'{"do":"unshelve"}'), "mqtt")
    assert store.reader.shelves("pump", NOW_S) == []


def test_an_event_of_another_machine_is_refused(tmp_path: Path) -> None:
    store = make_store(tmp_path, make_event("a"), make_event("b", "fan"))
    with pytest.raises(ConfigError, match="is of fan"):
        execute(store, parse_command("pump", b'{"do":"ack","event":"b"}'), "mqtt")
    execute(store, parse_command("pump", b'{"do":"comment","event":"a","comment":"x"}'), "mqtt")
    assert [note.text for note in store.reader.notes("a")] == ["x"]
