"""Evidence is complete or absent, and limited in number, size and share of the disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.evidence.event_history import NoHistory
from asd_monitor.evidence.maker import EvidenceMaker
from asd_monitor.evidence.settings import EvidenceSettings
from asd_monitor.evidence.store import CLIP, DESCRIPTION, EvidenceStore, NoRoomError
from asd_monitor.evidence.worker import EvidenceWorker
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.full_disk import max_file_size
from tests.rig.mosquitto import wait_until
from tests.rig.paths import ROOT

KB = 1000
NOW_S, DAY_S = 1_800_000_000.0, 86_400.0


class Events(NoHistory):
    """Events of which some are protected; remembers what was deleted."""

    def __init__(self, *protected: str) -> None:
        self.protected = protected
        self.cleared: list[str] = []

    def update(self, event_id: str, **fields: Any) -> None:  # noqa: ANN401 - as in EventHistory
        assert fields["clip"] == ""
        self.cleared.append(event_id)

    def is_protected(self, event_id: str) -> bool:
        return event_id in self.protected

    def is_open(self, event_id: str) -> bool:
        return event_id.startswith("open")


def files(size: int = KB, machine: str = "pump") -> dict[str, bytes]:
    return {CLIP: bytes(size), DESCRIPTION: json.dumps({"machine": machine}).encode()}


def fill(store: EvidenceStore, *event_ids: str, machine: str = "pump", size: int = KB) -> None:
    for event_id in event_ids:
        store.write(event_id, machine, files(size, machine))


def folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_the_oldest_evidence_of_a_machine_makes_room_for_the_newest(tmp_path: Path) -> None:
    events = Events()
    store = EvidenceStore(tmp_path, EvidenceSettings(max_clips=3), events)
    fill(store, "2-fan", machine="fan")
    fill(store, "1", "3", "4", "5", "6")
    assert folders(tmp_path) == ["2-fan", "4", "5", "6"]
    assert events.cleared == ["1", "3"]


def test_the_size_of_all_evidence_is_limited(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, EvidenceSettings(max_gb=3.5e-6))
    fill(store, "1", "2", machine="fan")
    fill(store, "3", "4")
    assert folders(tmp_path) == ["2", "3", "4"]
    assert store.size_bytes <= 3500


def test_protected_evidence_stays(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, EvidenceSettings(max_clips=2), Events("1"))
    fill(store, "1", "2", "3")
    assert folders(tmp_path) == ["1", "3"]
    store = EvidenceStore(tmp_path, EvidenceSettings(max_clips=2), Events("1", "3"))
    store.sweep()
    with pytest.raises(NoRoomError, match="2 events of pump"):
        fill(store, "4")
    assert folders(tmp_path) == ["1", "3"]


def test_evidence_is_deleted_for_its_age_unless_the_event_is_open(tmp_path: Path) -> None:
    events = Events("marked")
    store = EvidenceStore(tmp_path, EvidenceSettings(keep_days=30), events)
    fill(store, "ended", "marked", "new", "open", "unknown-but-open")
    for name in ("ended", "marked", "open", "unknown-but-open"):
        os.utime(tmp_path / name / DESCRIPTION, (NOW_S - 31 * DAY_S,) * 2)
    os.utime(tmp_path / "new" / DESCRIPTION, (NOW_S - 29 * DAY_S,) * 2)
    assert store.delete_old(NOW_S, {"unknown-but-open"}) == 2
    assert folders(tmp_path) == ["new", "open", "unknown-but-open"]
    assert events.cleared == ["ended", "marked"]
    unlimited = EvidenceStore(tmp_path, EvidenceSettings(), events)
    unlimited.sweep()
    assert unlimited.delete_old(2 * NOW_S) == 0


def test_the_monitor_deletes_old_evidence_by_itself(tmp_path: Path) -> None:
    settings = EvidenceSettings(keep_days=1)
    fill(EvidenceStore(tmp_path, settings), "1", "2")
    os.utime(tmp_path / "1" / DESCRIPTION, (NOW_S - 2 * DAY_S,) * 2)
    os.utime(tmp_path / "2" / DESCRIPTION, (NOW_S,) * 2)
    store, metrics = EvidenceStore(tmp_path, settings), Metrics(CollectorRegistry())
    maker = EvidenceMaker(settings, {}, store, metrics, clock=lambda: NOW_S)
    worker = EvidenceWorker(maker, metrics)
    worker.open()
    try:
        wait_until(lambda: folders(tmp_path) == ["2"], "the deletion")
    finally:
        worker.close()


def test_a_part_of_the_disk_stays_free(tmp_path: Path) -> None:
    total = 100 * KB

    def disk(root: Path) -> tuple[int, int]:
        used = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        return total - 90 * KB - used, total

    store = EvidenceStore(tmp_path, EvidenceSettings(min_free_percent=7), disk=disk)
    fill(store, *"123456")
    assert folders(tmp_path) == ["5", "6"]
    free, _ = disk(tmp_path)
    assert free >= 7 * KB


def test_nothing_is_deleted_where_others_have_filled_the_disk(tmp_path: Path) -> None:
    full = False
    store = EvidenceStore(
        tmp_path, EvidenceSettings(), disk=lambda _: (0 if full else 90 * KB, 100 * KB)
    )
    fill(store, "1", "2")
    full = True
    with pytest.raises(NoRoomError, match="5 % must stay free"):
        fill(store, "3")
    assert folders(tmp_path) == ["1", "2"]


def test_a_full_disk_leaves_the_previous_evidence(tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, EvidenceSettings())
    fill(store, "1")
    with max_file_size(2 * KB), pytest.raises(OSError, match="too large"):
        fill(store, "1", size=5 * KB)
    with max_file_size(2 * KB), pytest.raises(OSError, match="too large"):
        fill(store, "2", size=5 * KB)
    assert folders(tmp_path) == ["1"]
    assert (tmp_path / "1" / CLIP).stat().st_size == KB


def test_a_start_removes_what_is_unfinished_and_restores_what_was_replaced(tmp_path: Path) -> None:
    fill(EvidenceStore(tmp_path, EvidenceSettings()), "1", "2", "3")
    (tmp_path / "1").rename(tmp_path / ".old-1")  # killed between the two renames
    (tmp_path / "2").rename(tmp_path / ".new-2")  # killed while writing
    (tmp_path / "3" / "clip-2.flac.part").write_bytes(b"x")
    (tmp_path / "4").mkdir()
    (tmp_path / "4" / CLIP).write_bytes(b"x")
    store = EvidenceStore(tmp_path, EvidenceSettings())
    assert sorted(store.sweep()) == ["1", "3"]
    assert folders(tmp_path) == ["1", "3"]
    assert sorted(path.name for path in (tmp_path / "3").iterdir()) == [CLIP, DESCRIPTION]


WRITER = """
import json, sys
from pathlib import Path
from asd_monitor.evidence.settings import EvidenceSettings
from asd_monitor.evidence.store import CLIP, DESCRIPTION, EvidenceStore
store = EvidenceStore(Path(sys.argv[1]), EvidenceSettings())
count = 0
while True:
    count += 1
    description = json.dumps({"machine": "pump", "count": count}).encode()
    store.write("1", "pump", {CLIP: str(count).encode() * 20000, DESCRIPTION: description})
    print(count, flush=True)
"""


@pytest.mark.parametrize("attempt", range(5))
def test_a_sigkill_while_writing_leaves_one_consistent_version(
    tmp_path: Path, attempt: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as writer:
        assert writer.stdout is not None
        for _ in range(3):
            written = int(writer.stdout.readline())
        time.sleep(0.0013 * attempt)
        writer.send_signal(signal.SIGKILL)
    descriptions = EvidenceStore(tmp_path, EvidenceSettings()).sweep()
    assert folders(tmp_path) == ["1"]
    count = descriptions["1"]["count"]
    assert isinstance(count, int)
    assert count >= written
    assert (tmp_path / "1" / CLIP).read_bytes() == str(count).encode() * 20000
