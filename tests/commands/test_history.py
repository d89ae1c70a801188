"""history, events, backup, support: what they show of a state folder, and how it is restored."""

import csv
import io
import json
import subprocess
import sys
import tarfile
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from asd_monitor.cli import create_app
from asd_monitor.commands.history_plot import COLOURS
from asd_monitor.commands.history_table import STYLES
from asd_monitor.errors import AsdMonitorError, ConfigError, StateError
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import EventNote, NoteKind
from asd_monitor.history.settings import HistorySettings
from asd_monitor.records import Decision, State
from tests.rig.history import change, score_at, writing
from tests.rig.records import scored_window

AT_S = 1_796_040_000.0
DAY = "2026-11-30"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with an hour of scores of two machines, an event with a clip, and a model."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    root = tmp_path / "state"
    with writing(root / "history.db", HistorySettings(scores_days=1e4)) as writer:
        for machine in ("pump", "fan"):
            writer.record(change(State.NORMAL, AT_S, machine=machine))
            for second in range(3600):
                bad = machine == "pump" and 1800 <= second < 1860
                at_s, state = AT_S + second, State.ALARM if bad else State.NORMAL
                if machine == "pump" and second == 1800:
                    writer.record(change(State.ALARM, at_s, "e1", "louder"))
                if machine == "pump" and second == 1860:
                    writer.record(change(State.NORMAL, at_s, "e1", "quiet"))
                writer.record(score_at(at_s, 9.0 if bad else 1.0, machine, state))
        writer.add_note(EventNote("e1", AT_S + 1900, "Kim", NoteKind.FAULT, "bearing"))
        assert writer.flush(30)
    for name in ("events/e1/clip.flac", "models/pump.asd", "recordings/pump/train/a.wav"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(name.encode())
    (root / "access.db").write_text("hashes of passwords")
    return root


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(create_app(), [str(argument) for argument in arguments])


def output(*arguments: str | Path) -> str:
    result = run(*arguments)
    assert result.exception is None, result.exception
    return result.stdout


def refused(kind: type[AsdMonitorError], *arguments: str | Path) -> str:
    error = run(*arguments).exception
    assert isinstance(error, kind), error
    return str(error)


TIMES = ("--since", f"{DAY}T12:00", "--until", f"{DAY}T15:00")


def test_the_table_has_a_line_for_each_span_with_states_and_limits(state: Path) -> None:
    text = output("history", "--machine", "pump", *TIMES, "--by", "30m", "--state-dir", state)
    lines = text.splitlines()
    assert lines[0] == f"pump, {DAY} 12:00 to {DAY} 15:00 (3 h)"
    assert lines[1].startswith("NORMAL 58 min 59 s; ALARM 1 min; not monitored 2 h")
    assert lines[1].endswith("1 event, 1 with an alarm")
    rows = [line.split() for line in lines[3:]]
    assert [row[2] for row in rows] == ["NORMAL", "ALARM"]
    assert rows[1][4:7] == ["9.00", "60", "1800"]


def test_the_time_before_the_first_start_does_not_count_as_a_gap(state: Path) -> None:
    times = ("--since", f"{DAY}T09:00", "--until", f"{DAY}T12:59")
    text = output("history", "--machine", "pump", *times, "--state-dir", state)
    states = text.splitlines()[1]
    assert "not monitored" not in states
    assert f"monitored since {DAY} 12:00" in states or "monitored since 12:00" in states


def test_the_length_of_the_lines_fits_the_time(state: Path) -> None:
    text = output("history", "--machine", "fan", "--since", "2y", "--state-dir", state)
    assert len(text.splitlines()) <= 3 + 32


def test_csv_and_json_carry_the_same_rows(state: Path) -> None:
    arguments = ("history", "--machine", "pump", *TIMES, "--by", "1m", "--state-dir", state)
    rows = list(csv.DictReader(io.StringIO(output(*arguments, "--csv"))))
    document: dict[str, Any] = json.loads(output(*arguments, "--json"))
    assert len(rows) == len(document["rows"]) == 60
    assert [float(row["highest"]) for row in rows] == [row["highest"] for row in document["rows"]]
    assert rows[0]["at"] == f"{DAY}T12:00:00.000Z"
    assert document["time_in_state_s"]["ALARM"] == 60.0
    assert [event["id"] for event in document["events"]] == ["e1"]


def test_the_mode_is_in_the_table_and_in_csv_and_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    with writing(tmp_path / "history.db", HistorySettings(scores_days=1e4)) as writer:
        for second in range(0, 3600, 10):
            decision = Decision(State.NORMAL, mode="idle" if second < 1500 else "full load")
            writer.record(scored_window(decision=decision, captured_at=AT_S + second))
        assert writer.flush(30)
    arguments = ("history", *TIMES, "--by", "30m", "--state-dir", tmp_path)
    lines = output(*arguments).splitlines()
    assert "modes: full load 34 min 50 s; idle 25 min" in lines
    assert [line.split()[-1] for line in lines[-2:]] == ["idle", "load"]
    document = json.loads(output(*arguments, "--json"))
    assert document["time_in_mode_s"] == {"full load": 2090.0, "idle": 1500.0}
    assert [row["mode"] for row in document["rows"]] == ["idle", "full load"]
    rows = csv.DictReader(io.StringIO(output(*arguments, "--csv")))
    assert [row["mode"] for row in rows] == ["idle", "full load"]


def test_every_score_can_be_printed(state: Path) -> None:
    arguments = ("--since", f"{DAY}T12:29:59", "--until", f"{DAY}T12:30:01", "--state-dir", state)
    text = output("history", "--machine", "pump", *arguments, "--by", "window", "--csv")
    assert [row["score"] for row in csv.DictReader(io.StringIO(text))] == ["1.0", "9.0"]


def test_a_plot_is_drawn(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "pump.png"
    output("history", "--machine", "pump", *TIMES, "--plot", target, "--state-dir", state)
    with Image.open(target) as picture:
        colours = picture.convert("RGB").getcolors(1 << 24) or []
    assert (0xC8, 0x37, 0x2D) in {colour for _, colour in colours}  # of the alarm


def test_every_state_has_a_colour() -> None:
    assert set(STYLES) == set(COLOURS) == set(State)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "--machine is missing; machines with a history: fan, pump"),
        (["--machine", "saw"], "machines that do: fan, pump"),
        (["--machine", "pump", "--since", "yesterday"], "expected a duration such as 90m, 24h"),
        (["--machine", "pump", "--since", "2026-13-01"], "expected a date such as"),
        (["--machine", "pump", "--by", "90m"], "--by: expected whole minutes up to 1h"),
        (["--machine", "pump", "--until", "30d"], "expected --until after --since"),
        (["--machine", "pump", "--plot", "x.bmp"], "expected a name that ends with .png"),
    ],
)
def test_a_mistake_is_explained(state: Path, arguments: list[str], error: str) -> None:
    assert error in refused(ConfigError, "history", *arguments, "--state-dir", state)


@pytest.fixture
def displayed(tmp_path: Path) -> Path:
    """A state folder with an event of a machine that has a display name, and another machine."""
    root = tmp_path / "displayed"
    with writing(
        root / "history.db", displayed={"cellar": "Kühlwasser 1/2", "fan": "fan"}
    ) as writer:
        for machine in ("cellar", "fan"):
            writer.record(change(State.ALARM, AT_S, f"e-{machine}", machine=machine))
            writer.record(score_at(AT_S, 9.0, machine, State.ALARM))
        assert writer.flush(30)
    return root


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["history", "--since", "10y", "--json", "--machine"], '"machine": "cellar"'),
        (["events", "--json", "--machine"], '"id": "e-cellar"'),
        (["ack", "--machine"], "1 event of cellar acknowledged"),
        (["shelve"], "cellar is shelved for 8 h"),
        (["unshelve"], "cellar is neither shelved"),
        (["forget", "--yes"], "rows of history"),
    ],
)
def test_a_command_takes_the_display_name_of_a_machine(
    displayed: Path, arguments: list[str], expected: str
) -> None:
    decomposed = unicodedata.normalize("NFD", "Kühlwasser 1/2")
    result = run(*arguments, decomposed, "--state-dir", displayed)
    assert result.exception is None, result.exception
    assert expected in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["history", "--machine"], ["events", "--machine"], ["ack", "--machine"], ["shelve"],
        ["unshelve"], ["refit"], ["refit", "--undo"], ["forget", "--yes"],
    ],
)  # fmt: skip
def test_a_command_lists_the_machines_that_it_knows(displayed: Path, arguments: list[str]) -> None:
    message = refused(ConfigError, *arguments, "Cellar 3", "--state-dir", displayed)
    assert "cellar (Kühlwasser 1/2), fan" in message


def test_without_a_history_the_commands_say_when_it_begins(tmp_path: Path) -> None:
    for command in ("history", "events"):
        error = refused(StateError, command, "--state-dir", tmp_path)
        assert "it begins when `asd-monitor run` starts" in error


def test_the_state_folder_of_a_configuration_is_used(state: Path, tmp_path: Path) -> None:
    config = tmp_path / "monitor.yaml"
    config.write_text(f"machines: {{pump: {{mic: 0}}}}\nstate_dir: {state}\n")
    assert "e1" in output("events", "--config", config)


def test_events_are_listed_and_shown_with_their_notes(state: Path) -> None:
    line = output("events", "--state-dir", state).splitlines()[1]
    assert line.split()[:5] == [DAY, "12:30", "1", "min", "pump"]
    assert "fault" in line
    shown = output("events", "e1", "--state-dir", state)
    assert "Kim fault: bearing" in shown
    document = json.loads(output("events", "e1", "--json", "--state-dir", state))
    assert document["notes"][0]["text"] == "bearing"
    listed = json.loads(output("events", "--json", "--state-dir", state))
    assert listed[0]["verdict"] == "fault"
    assert listed[0]["opened"] == f"{DAY}T12:30:00.000Z"
    assert output("events", "--open", "--state-dir", state) == "no events\n"
    assert output("events", "--machine", "fan", "--state-dir", state) == "no events\n"
    assert "no such event" in refused(ConfigError, "events", "e2", "--state-dir", state)


def test_a_backup_taken_while_a_monitor_writes_can_be_restored(state: Path, tmp_path: Path) -> None:
    target, restored = tmp_path / "backup.tar.gz", tmp_path / "restored"
    restored.mkdir()
    with writing(state / "history.db", HistorySettings(scores_days=1e4)) as writer:
        writer.record(score_at(AT_S + 5000))
        assert writer.flush()
        output("backup", target, "--state-dir", state)
        writer.record(score_at(AT_S + 5001))
        assert writer.flush()
    assert target.stat().st_mode & 0o777 == 0o600
    subprocess.run(["tar", "-xf", target, "-C", restored], check=True)
    assert (restored / "events/e1/clip.flac").read_bytes() == b"events/e1/clip.flac"
    assert (restored / "models/pump.asd").exists()
    assert not (restored / "access.db").exists()
    assert not (restored / "recordings").exists()
    with writing(restored / "history.db", HistorySettings(scores_days=1e4)) as writer:
        writer.record(score_at(AT_S + 6000))
    reader = HistoryReader(restored / "history.db")
    assert [row.at_s - AT_S for row in reader.scores("pump", AT_S + 4000, AT_S + 9000)] == [
        5000,
        6000,
    ]
    assert [note.who for note in reader.notes("e1")] == ["Kim"]


def test_a_backup_never_replaces_a_file(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    target.write_text("older")
    assert "the file exists" in refused(StateError, "backup", target, "--state-dir", state)
    inside = state / "backup.tar"
    assert "outside the state folder" in refused(StateError, "backup", inside, "--state-dir", state)
    assert target.read_text() == "older"
    assert not inside.exists()


def test_a_support_file_has_what_helps_and_no_secret(state: Path, tmp_path: Path) -> None:
    config, log = tmp_path / "plant.yaml", tmp_path / "log"
    secrets = ["hunter2hunter2", "tgram-4711-token", "pa55word", "query-key"]
    config.write_text(
        f"machines: {{pump: {{wav: {tmp_path}}}}}\nstate_dir: {state}\n"
        "mqtt: {host: broker, port: 1, username: kim, password: hunter2hunter2}\n"
        "notify: ['tgram://tgram-4711-token/chat', 'mailto://kim:pa55word@example.com']\n"
    )
    log.write_text(
        "login with hunter2hunter2 refused\nGET http://kim:pa55word@host/x?key=query-key failed\n"
        "pump: NORMAL -> ALARM\n"
    )
    target = tmp_path / "support.tar.gz"
    command = [sys.executable, "-m", "asd_monitor.cli", "support", str(target), "--log", str(log)]
    done = subprocess.run(
        [*command, "--config", str(config)], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(target) as tar:
        files = {
            Path(member.name).name: (tar.extractfile(member) or io.BytesIO()).read().decode()
            for member in tar
        }
    text = "\n".join(files.values())
    assert not [secret for secret in secrets if secret in text]
    assert "pump: NORMAL -> ALARM" in files["log.txt"]
    assert "username: kim" in files["configuration.yaml"]
    assert "asd-monitor " in files["versions.txt"]
    assert "models/pump.asd" in files["state-folder.txt"]
    assert json.loads(files["history.json"])["events"][0]["id"] == "e1"
    assert files["doctor.txt"]
