"""The doctor reports what waits for the broker, and outboxes that were set aside."""

from pathlib import Path

from asd_monitor.config import Config
from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, Status
from asd_monitor.doctor.outbox import check_outbox
from asd_monitor.outbox.database import FILE_NAME, SPARKPLUG_FILE_NAME
from tests.rig.outbox import draft, make_outbox, put


def check(folder: Path, mqtt: object) -> list[Finding]:
    settings = {"machines": {"pump": {"mic": "0"}}, "state_dir": str(folder), "mqtt": mqtt}
    return check_outbox(Context(Config.model_validate(settings)))


def test_the_outbox_is_checked(tmp_path: Path) -> None:
    broker = {"host": "localhost"}
    assert [each.status for each in check(tmp_path, None)] == [Status.OK]
    assert [each.status for each in check(tmp_path, broker | {"outbox": None})] == [Status.WARNING]
    assert "will be created" in check(tmp_path, broker)[0].message
    outbox = make_outbox(tmp_path / FILE_NAME)  # by a clock of the year 2027
    put(outbox, draft(0))
    outbox.close()
    (found,) = check(tmp_path, broker)
    assert (found.status, "1 scores and 0 events wait" in found.message) == (Status.OK, True)


def test_the_outbox_of_sparkplug_is_checked_too(tmp_path: Path) -> None:
    broker = {"host": "localhost", "sparkplug": {"group": "site1"}}
    first, second = check(tmp_path, broker)
    assert "outbox.db will be created" in first.message
    assert "outbox-sparkplug.db will be created" in second.message
    outbox = make_outbox(tmp_path / SPARKPLUG_FILE_NAME)
    put(outbox, draft(0))
    outbox.close()
    assert "1 scores and 0 events wait" in check(tmp_path, broker)[1].message
    (tmp_path / SPARKPLUG_FILE_NAME).write_bytes(b"random bytes" * 1000)
    assert [found.status for found in check(tmp_path, broker)] == [Status.OK, Status.FAILED]


def test_a_damaged_outbox_is_reported_before_and_after_it_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"random bytes" * 1000)
    (found,) = check(tmp_path, {"host": "localhost"})
    assert found.status is Status.FAILED
    make_outbox(path).close()
    damaged, found = check(tmp_path, {"host": "localhost"})
    assert (damaged.status, found.status) == (Status.WARNING, Status.OK)
    assert "outbox.db.damaged-" in damaged.message
