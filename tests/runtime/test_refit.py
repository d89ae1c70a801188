"""Learning again from confirmed recordings: compared, confirmed by a person, and taken back."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from asd_monitor import model_file, quickstart
from asd_monitor.cli import create_app
from asd_monitor.config import from_options, load
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.errors import ConfigError, ModelFileError, UntrustedModelError
from asd_monitor.history.records import NoteKind
from asd_monitor.judging import actions, proposal
from asd_monitor.judging.feedback import find_feedback
from asd_monitor.judging.refit_job import RefitJobs
from asd_monitor.judging.store import JudgingStore
from asd_monitor.model_file.keys import create_key, public_key
from asd_monitor.model_file.made_here import forget_made
from asd_monitor.records import FloatArray, MachineAlarm, Record, ScoredWindow
from asd_monitor.runtime.builder import build_monitor
from asd_monitor.runtime.refit import propose_refit
from asd_monitor.runtime.state_dir import StateFolder
from tests.rig.judging import ANNA, make_event, make_store
from tests.rig.mosquitto import wait_until

RATE_HZ = 16_000
NORMAL = ("n1", "n2", "n3")
CLIP_S = 30.0
"""Longer than the shortest duration of an alarm."""


def sound(seed: int, seconds: float = 10.0, tone_hz: float = 0.0, tone: float = 0.0) -> FloatArray:
    """Return the hum of a machine with noise, and a tone of another operating state or a fault."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    rng = np.random.default_rng(seed)
    hum = 0.05 * np.sin(2 * np.pi * 120 * time_s + rng.uniform(0, 6))
    samples = hum + 0.02 * rng.standard_normal(len(time_s))
    return (samples + tone * np.sin(2 * np.pi * tone_hz * time_s)).astype(np.float32)


def write_state(root: Path) -> StateFolder:
    """Write a learned machine with three false alarms by a valve's tone, and a real fault."""
    state = StateFolder(root)
    folder = state.make(state.recordings_path("pump"))
    recordings = []
    for index in range(9):
        samples = sound(index)
        name = f"normal_id_00_{index:08d}.wav"
        soundfile.write(folder / name, samples, RATE_HZ, subtype="PCM_24")
        recordings.append(quickstart.Recording(name, samples, "earlier", 10.0 * index))
    fitted = quickstart.fit(recordings, target="pump", window_s=1.0)
    state.make(state.model_path("pump").parent)
    model_file.save(
        state.model_path("pump"), fitted.module, fitted.manifest, normal_sound=fitted.normal_sound
    )
    events = [
        make_event(name, clip="clip.flac", picture="picture.png") for name in (*NORMAL, "fault")
    ]
    make_store(root, *events)
    for index, name in enumerate(NORMAL):
        write_clip(root, name, sound(100 + index, CLIP_S, 2000.0, 0.02))
    write_clip(root, "fault", sound(200, CLIP_S, 5000.0, 0.08))
    return state


def write_clip(root: Path, event_id: str, samples: FloatArray) -> None:
    folder = root / "events" / event_id
    soundfile.write(folder / "clip.flac", samples, RATE_HZ, subtype="PCM_16")
    (folder / "evidence.json").write_text('{"machine": "pump"}')


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state folder in which everything is judged and a model is proposed."""
    state = write_state(tmp_path_factory.mktemp("state"))
    store = JudgingStore(state.root)
    for name in NORMAL:
        actions.judge(store, ANNA, name, NoteKind.NORMAL)
    actions.judge(store, ANNA, "fault", NoteKind.FAULT)
    propose_refit(state, "pump")
    return state.root


def sha_of(root: Path) -> str:
    return model_file.read_manifest(proposal.present_model(root, "pump"))[1]


def test_the_proposal_compares_the_models_and_what_they_find(learned: Path) -> None:
    found = proposal.read_proposal(learned, "pump")
    assert found is not None
    assert found.recordings == NORMAL
    assert found.before.sha256 == sha_of(learned) != found.after.sha256
    assert found.after.seconds == pytest.approx(found.before.seconds + len(NORMAL) * CLIP_S)
    findings = {event.event_id: (event.before, event.after) for event in found.events}
    assert findings["fault"] == ("alarm", "alarm")
    assert found.missed_faults == ()
    for name in NORMAL:
        assert findings[name][0] == "alarm"
        assert proposal.FINDINGS.index(findings[name][1]) < 2
    assert "the 1 event judged as a fault would be found as clearly as now" in found.summary


def test_a_fault_that_would_be_missed_is_named(learned: Path) -> None:
    found = proposal.read_proposal(learned, "pump")
    assert found is not None
    weaker = replace(
        found,
        events=tuple(
            replace(event, after="nothing") if event.verdict == "fault" else event
            for event in found.events
        ),
    )
    assert [event.event_id for event in weaker.missed_faults] == ["fault"]
    assert any("WARNING" in line and "fault" in line for line in weaker.summary)


def test_it_is_accepted_by_a_person_and_taken_back(learned: Path) -> None:
    found = proposal.read_proposal(learned, "pump")
    assert found is not None
    store, first = JudgingStore(learned), sha_of(learned)
    assert find_feedback(store, "pump").can_learn
    proposal.accept(store, ANNA, "pump")
    assert sha_of(learned) == found.after.sha256
    feedback = find_feedback(store, "pump")
    assert not feedback.can_learn, "the same recordings are offered again"
    assert "was learned from all 3 recordings" in feedback.next_step
    actions.judge(store, ANNA, "n1", NoteKind.FAULT)
    assert find_feedback(store, "pump").withdrawn == ("n1",)
    actions.judge(store, ANNA, "n1", NoteKind.NORMAL)
    assert proposal.read_proposal(learned, "pump") is None
    with pytest.raises(ConfigError, match="no model is proposed"):
        proposal.accept(store, ANNA, "pump")
    proposal.undo(store, ANNA, "pump")
    assert sha_of(learned) == first
    proposal.undo(store, ANNA, "pump")
    assert sha_of(learned) == found.after.sha256
    proposal.undo(store, ANNA, "pump")
    done = [entry.action for entry in store.reader.audit(6) if "refit" in entry.action]
    assert done == ["undo-refit", "undo-refit", "undo-refit", "refit"]


def test_a_proposal_for_another_model_is_not_accepted(learned: Path) -> None:
    propose_refit(StateFolder(learned), "pump")
    present = proposal.present_model(learned, "pump")
    content = present.read_bytes()
    present.write_bytes(proposal.proposed_model(learned, "pump").read_bytes())
    try:
        with pytest.raises(ConfigError, match="was replaced since"):
            proposal.accept(JudgingStore(learned), ANNA, "pump")
    finally:
        present.write_bytes(content)
    proposal.discard(JudgingStore(learned), ANNA, "pump")
    assert proposal.read_proposal(learned, "pump") is None


def test_the_command_asks_before_it_changes_anything(
    learned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.commands.refit.lower_priority", lambda: None)
    first = sha_of(learned)
    arguments = ["refit", "pump", "--state-dir", str(learned)]
    refused = CliRunner().invoke(create_app(), arguments, input="n\n")
    assert refused.exit_code == 0, refused.output
    assert "threshold" in refused.stdout
    assert "found then" in refused.stdout
    assert sha_of(learned) == first
    agreed = CliRunner().invoke(create_app(), [*arguments, "--yes", "--json"])
    assert json.loads(agreed.stdout)["before"]["sha256"] == first
    assert sha_of(learned) != first
    CliRunner().invoke(create_app(), [*arguments, "--undo"])
    assert sha_of(learned) == first


def test_too_few_recordings_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    make_store(tmp_path, make_event("n1", clip="clip.flac"))
    with pytest.raises(ModelFileError, match="no model that was learned here"):
        propose_refit(StateFolder(tmp_path), "pump")
    model = proposal.present_model(tmp_path, "pump")
    model.parent.mkdir()
    model.write_bytes(b"")
    with pytest.raises(
        ConfigError,
        match=r"of at least 3 events that were confirmed .* found that none is; list the events",
    ):
        propose_refit(StateFolder(tmp_path), "pump")
    with pytest.raises(ConfigError, match="no earlier model"):
        proposal.undo(JudgingStore(tmp_path), ANNA, "pump")
    assert model.read_bytes() == b""


def test_a_running_monitor_notices_people_and_changes_its_model(
    learned: Path, tmp_path: Path
) -> None:
    root = tmp_path / "state"
    shutil.copytree(learned, root)
    propose_refit(StateFolder(root), "pump")
    found = proposal.read_proposal(root, "pump")
    assert found is not None
    (tmp_path / "wav").mkdir()
    soundfile.write(tmp_path / "wav" / "a.wav", sound(300, 60.0), RATE_HZ)
    pump = {"wav": {"paths": [str(tmp_path / "wav")], "loop": True}}
    options = {"machines": {"pump": pump}, "state_dir": str(root)}
    config = from_options(options | {"prometheus": None, "web": None})
    records: list[Record] = []
    handle = build_monitor(config, extra_sinks=[Collected(records)])
    store = JudgingStore(root)
    handle.monitor.start()
    try:
        wait_until(lambda: found.before.sha256 in models_of(records), "the first model")
        actions.shelve(store, ANNA, "pump", store.clock() + 3600)
        wait_until(lambda: alarms_of(records)[-1:] == ["shelved"], "the shelf")
        proposal.accept(store, ANNA, "pump")
        wait_until(lambda: found.after.sha256 in models_of(records), "the new model")
        proposal.undo(store, ANNA, "pump")
        wait_until(lambda: models_of(records)[-1] == found.before.sha256, "the old model")
        status = handle.status().machines["pump"]
        assert status.alarm is not None
        assert status.alarm.status == "shelved"
    finally:
        handle.close()


class Collected:
    """A sink that keeps what it receives."""

    def __init__(self, records: list[Record]) -> None:
        self.emit = records.append

    def open(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


def models_of(records: list[Record]) -> list[str]:
    """Return the models of the scores, in order."""
    windows = [record for record in records if isinstance(record, ScoredWindow)]
    return [window.score.model.sha256 for window in windows if window.score.model is not None]


def alarms_of(records: list[Record]) -> list[str]:
    return [str(record.status) for record in records if isinstance(record, MachineAlarm)]


def test_the_page_learns_in_a_process_of_its_own(learned: Path) -> None:
    first, jobs = sha_of(learned), RefitJobs(learned)
    try:
        assert jobs.start("pump")
        wait_until(lambda: jobs.status("pump")[0] != "running", "the end", timeout_s=300.0)
        assert jobs.status("pump") == ("done", "")
    finally:
        jobs.close()
    assert proposal.read_proposal(learned, "pump") is not None
    assert sha_of(learned) == first


def test_the_page_compares_with_the_alarm_settings_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nwhile [ "$1" != --config ]; do shift; done\ncp "$2" {tmp_path}/found.yaml\n'
    )
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    own = {"pump": AlarmSettings(min_duration_s=60.0, transients="count")}
    jobs = RefitJobs(tmp_path, alarm_of=lambda machine: own[machine].model_dump())
    try:
        assert jobs.start("pump")
        wait_until(lambda: jobs.status("pump")[0] == "done", "the end", timeout_s=60)
    finally:
        jobs.close()
    assert load(tmp_path / "found.yaml").alarm_of("pump") == own["pump"]


def test_the_page_learns_again_only_what_the_trusted_keys_have_signed(
    learned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_made()  # as in another process
    key = public_key(create_key(tmp_path / "plant.pem"))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$*" > {tmp_path}/command\n')
    python.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(python))
    jobs = RefitJobs(learned, lambda: [key])
    try:
        assert jobs.start("pump")
        wait_until(lambda: jobs.status("pump")[0] == "done", "the end", timeout_s=60)
        command = (tmp_path / "command").read_text().split()
        arguments = command[command.index("refit") :]
        assert arguments[-2:] == ["--trusted-key", key]
        with pytest.raises(UntrustedModelError, match="it is not signed"):
            CliRunner().invoke(create_app(), arguments, catch_exceptions=False)
    finally:
        jobs.close()
