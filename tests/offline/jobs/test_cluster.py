"""Jobs on a Ray cluster: the results of a local pool, also if a worker is killed."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
import soundfile

from asd_monitor.errors import ConfigError, DatasetError
from asd_offline.jobs.cluster import ClusterPool
from asd_offline.jobs.cluster_worker import Expectation, find_difference, program_versions
from asd_offline.replay import ReplaySettings, replay
from tests.offline.jobs.cluster_jobs import Fail, HoldLock, WriteFolder
from tests.offline.small_sounds import hum
from tests.rig.mosquitto import wait_until
from tests.rig.ports import free_port
from tests.rig.ray_cluster import WORKERS, RayCluster, running_ray_cluster

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    with running_ray_cluster() as cluster:
        yield cluster


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {"work", "models"} & {*path.relative_to(folder).parts}
    }


def write_set(root: Path) -> Path:
    """Write a fan with enough training clips to fit a detector."""
    for kind, count in (("train/normal", 10), ("test/normal", 3), ("test/anomaly", 3)):
        for number in range(count):
            samples = hum(number + 100 * len(kind), 200.0, 16_000, 3.0)
            if "anomaly" in kind:
                samples += 0.5 * hum(number, 2300.0, 16_000, 3.0)
            path = root / "fan" / f"{kind}_id_00_{number:08d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, samples, 16_000, "PCM_16")
    return root


def test_a_replay_on_the_cluster_with_a_worker_killed_equals_the_local_one(
    cluster: RayCluster, tmp_path: Path
) -> None:
    dataset = write_set(tmp_path / "data")
    local = replay(ReplaySettings(dataset, out=tmp_path / "local", jobs=1))
    is_over = threading.Event()
    killer = threading.Thread(target=cluster.kill_a_busy_worker, args=(is_over,))
    killer.start()
    settings = ReplaySettings(dataset, out=tmp_path / "cluster", cluster=cluster.address)
    try:
        remote = replay(settings)
    finally:
        is_over.set()
        killer.join()
    assert remote.challenge.partial_score == local.challenge.partial_score
    assert files_of(tmp_path / "cluster") == files_of(tmp_path / "local")


def test_the_cluster_listens_on_the_loopback_interface_only(cluster: RayCluster) -> None:
    addresses = set()
    for process in cluster.processes():
        with suppress(psutil.NoSuchProcess):  # a worker that has just ended
            addresses |= {
                connection.laddr.ip.removeprefix("::ffff:")
                for connection in process.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
    assert addresses == {"127.0.0.1"}


def test_jobs_run_in_the_folder_of_the_command_report_progress_and_raise_their_errors(
    cluster: RayCluster, tmp_path: Path
) -> None:
    reported: list[float] = []
    messages: list[str] = []
    jobs = [WriteFolder(tmp_path / str(number)) for number in range(3)]
    with ClusterPool(cluster.address, tmp_path, notify=messages.append) as pool:
        pool.run(jobs, reported.append)
        pool.run(jobs, reported.append)  # nothing is left to do
        assert reported == sorted(reported)
        assert reported[-1] == 6.0
        with pytest.raises(DatasetError, match=r"^clip\.wav: damaged$"):
            pool.run([Fail(tmp_path / "failed")], reported.append)
    assert {job.result.read_text() for job in jobs} == {os.getcwd()}
    assert messages == [f"cluster {cluster.address}: 1 computer, {WORKERS} cores"]
    assert not [*tmp_path.glob(".cluster-*")]


def test_an_interrupted_command_ends_its_jobs_on_the_cluster(
    cluster: RayCluster, tmp_path: Path
) -> None:
    def interrupt_when_working() -> None:
        wait_until(lambda: (tmp_path / "working-0").exists(), "the job")
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_when_working)
    thread.start()
    with (
        pytest.raises(KeyboardInterrupt),
        ClusterPool(cluster.address, tmp_path) as pool,
    ):
        pool.run([HoldLock(tmp_path)], lambda done: None)
    thread.join()

    def is_released() -> bool:
        with (tmp_path / "lock-0").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    wait_until(is_released, "the end of the job")


def expectation(tmp_path: Path, **changes: object) -> Expectation:
    (tmp_path / "token").write_text("right")
    values: dict[str, object] = {
        "versions": program_versions(),
        "folder": Path.cwd(),
        "token_file": tmp_path / "token",
        "token": "right",
    }
    return Expectation(**(values | changes))  # type: ignore[arg-type]


def test_a_worker_with_another_program_or_without_the_shared_folders_is_refused(
    tmp_path: Path,
) -> None:
    assert find_difference(expectation(tmp_path)) == ""
    (program, code), *others = program_versions()
    older = (("torch", "2.0.0") if name == "torch" else (name, v) for name, v in others)
    other = expectation(tmp_path, versions=((program, code), *older))
    assert "another torch: expected 2.0.0, found" in find_difference(other)
    nowhere = expectation(tmp_path, folder=tmp_path / "nowhere")
    assert "cannot open the working folder" in find_difference(nowhere)
    for changes in ({"token": "other"}, {"token_file": tmp_path / "missing"}):
        text = find_difference(expectation(tmp_path, **changes))
        assert f"does not share the folder of results {tmp_path}" in text


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "127.0.0.1:FREE"])
def test_an_address_without_a_cluster_is_an_error_at_once(tmp_path: Path, address: str) -> None:
    address = address.replace("FREE", str(free_port()))
    with pytest.raises(ConfigError, match="--cluster"), ClusterPool(address, tmp_path):
        pass
