"""A running monitor notices what people do, wherever they do it, and reports it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.history.records import NoteKind
from asd_monitor.judging import actions
from asd_monitor.judging.commands import Refusal, parse_command
from asd_monitor.judging.store import JudgingStore
from asd_monitor.judging.watch import AlarmWatch
from asd_monitor.records import EvidenceReady, MachineAlarm, Record, State, Transition
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.judging import ANNA, NOW_S, SetClock, make_event, make_store
from tests.rig.mosquitto import wait_until
from tests.rig.records import event

INSTALLED = "model was replaced"


class Watched:
    """A watch of a store, and what it has posted."""

    def __init__(self, store: JudgingStore) -> None:
        self.posted: list[Record] = []
        self.installed: list[str] = []
        self.registry = CollectorRegistry()
        metrics = Metrics(self.registry)
        metrics.add_machines(["pump"])
        self.watch = AlarmWatch(
            store, ["pump"], self.posted.append, metrics.judging, self.installed.append
        )
        self.watch.open()

    def status(self) -> str:
        """Return the newest status that was posted."""
        alarms = [record for record in self.posted if isinstance(record, MachineAlarm)]
        return alarms[-1].status if alarms else ""

    def wait_for(self, status: str) -> None:
        wait_until(lambda: self.status() == status, f"the status {status}")

    def value(self, series: str, **labels: str) -> float:
        return self.registry.get_sample_value(series, labels) or 0.0


@pytest.fixture
def store(tmp_path: Path) -> JudgingStore:
    return make_store(tmp_path, make_event("a", clip="clip.flac"), clock=SetClock())


@pytest.fixture
def watched(store: JudgingStore) -> Iterator[Watched]:
    watched = Watched(store)
    watched.wait_for("returned-unacknowledged")
    yield watched
    watched.watch.close()


def change(state: State, event_id: str) -> Transition:
    return replace(event("t", state), captured_at=NOW_S, event_id=event_id)


def test_an_event_is_reported_before_it_is_in_the_history(watched: Watched) -> None:
    watched.watch.emit(change(State.WARNING, "b"))
    watched.wait_for("unacknowledged")
    watched.watch.emit(change(State.NORMAL, "b"))
    watched.wait_for("returned-unacknowledged")


def test_an_acknowledgement_by_another_process_is_noticed(
    watched: Watched, store: JudgingStore
) -> None:
    actions.acknowledge(JudgingStore(store.root, store.clock), ANNA, "a")
    watched.wait_for("none")
    assert len(watched.posted) == 2  # no message without a change


def test_a_shelf_is_reported_and_ends_by_itself(watched: Watched, store: JudgingStore) -> None:
    actions.shelve(store, ANNA, "pump", NOW_S + 60)
    watched.wait_for("shelved")
    assert isinstance(store.clock, SetClock)
    store.clock.now_s += 61
    watched.wait_for("returned-unacknowledged")


def test_verdicts_are_counted_once(watched: Watched, store: JudgingStore) -> None:
    actions.judge(store, ANNA, "a", NoteKind.NORMAL)
    watched.wait_for("none")
    assert watched.value("asd_events_total", verdict="normal") == 1


def test_a_clip_that_is_written_after_the_verdict_is_copied(
    watched: Watched, store: JudgingStore
) -> None:
    clip = store.root / "events/a/clip.flac"
    content = clip.read_bytes()
    clip.unlink()
    actions.judge(store, ANNA, "a", NoteKind.NORMAL)
    copy = store.root / "recordings/pump/feedback/a.flac"
    assert not copy.exists()
    clip.write_bytes(content)
    watched.watch.emit(EvidenceReady("pump", "a", NOW_S, "louder", clip=str(clip)))
    wait_until(copy.exists, "the copy")


def test_commands_are_done_and_refused_ones_recorded(watched: Watched, store: JudgingStore) -> None:
    assert watched.watch.submit(parse_command("pump", b'{"do":"ack","who":"bert"}'))
    watched.wait_for("none")
    watched.watch.submit(parse_command("pump", b'{"do":"fault","event":"nothing"}'))
    watched.watch.submit(Refusal("fan", "the monitor has no such machine"))
    wait_until(lambda: len(store.reader.audit()) == 3, "the entries")
    refused = [(e.machine, e.action, e.accepted) for e in store.reader.audit()]
    assert refused == [("fan", "", False), ("pump", "fault", False), ("pump", "ack", True)]
    assert watched.value("asd_commands_total", result="accepted") == 1
    assert watched.value("asd_commands_total", result="refused") == 2


def test_a_replaced_model_is_installed(watched: Watched, store: JudgingStore) -> None:
    from asd_monitor.history.records import AuditEntry

    store.add_audit(AuditEntry(NOW_S, "anna", "page", "refit", "pump"))
    wait_until(lambda: watched.installed == ["pump"], "the model")
