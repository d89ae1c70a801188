"""Downloaded datasets can be opened, and existing files are not downloaded again."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from asd_monitor.commands.download import download as command
from asd_monitor.errors import DatasetError
from asd_monitor.progress import NoProgress
from asd_offline.datasets import CHALLENGES, open_dataset
from asd_offline.datasets.challenge import SetName
from asd_offline.datasets.download.download import DownloadResult, download
from asd_offline.datasets.download.http import RetryPolicy
from tests.offline.dataset_layouts import DEV, EVAL
from tests.offline.zenodo_server import RecordServer, serving, zipped

BOTH: tuple[SetName, ...] = ("dev", "eval")


@pytest.fixture
def server() -> Iterator[RecordServer]:
    with serving() as server:
        yield server


def pack(make: Callable[[Path, str], Path], folder: Path, machine: str, part: str) -> bytes:
    """Return the archive of one machine: its training clips and lists, or its test clips."""
    make(folder, machine)
    return zipped(
        {
            str(path.relative_to(folder)): path.read_bytes() or path.name.encode() * 100
            for path in sorted((folder / machine).rglob("*"))
            if path.is_file()
            and (part == "all" or ("test" in path.parent.name) == (part == "test"))
        }
    )


def publish(server: RecordServer, scratch: Path, year: int, *machines: str) -> None:
    for archives in CHALLENGES[year].archives:
        server.records.setdefault(archives.record, [])
        part = "all" if archives.subset == "dev" else archives.title.split()[0]
        part = {"additional": "train", "evaluation": "test"}.get(part, part)
        make = DEV[year] if archives.subset == "dev" else EVAL[year]
        for machine in machines:
            if machine in CHALLENGES[year].sets[archives.subset]:
                content = pack(make, scratch / f"{archives.record}", machine, part)
                server.add(archives.record, archives.file_name(machine), content)


def get(
    server: RecordServer, out: Path, year: int, *machines: str, subsets: tuple[SetName, ...] = BOTH
) -> list[DownloadResult]:
    retry = RetryPolicy(max_attempts=2, sleep=lambda _: None)
    return download(
        year, out, NoProgress(), machines=machines, subsets=subsets, server=server.url, retry=retry
    )


@pytest.mark.parametrize("year", CHALLENGES)
def test_a_downloaded_dataset_can_be_opened(
    server: RecordServer, tmp_path: Path, year: int
) -> None:
    machines = {m for official in CHALLENGES[year].sets.values() for m in list(official)[:2]}
    publish(server, tmp_path / "scratch", year, *machines)
    results = get(server, tmp_path / "out", year, *machines)
    dataset = open_dataset(tmp_path / "out")
    assert (dataset.year, dataset.sets, dataset.rejected) == (year, BOTH, ())
    assert dataset.machines() == tuple(sorted(machines))
    for machine in machines:
        for section in dataset.sections(machine):
            assert dataset.select(machine, section, "train")
            assert dataset.select(machine, section, "test")
    assert {result.state for result in results} == {"downloaded"}
    assert not list((tmp_path / "out").rglob("*.zip*[!n]"))


def test_only_the_requested_set_and_machines_are_downloaded(
    server: RecordServer, tmp_path: Path
) -> None:
    publish(server, tmp_path / "scratch", 2020, "fan", "pump", "valve")
    get(server, tmp_path / "out", 2020, "FAN", "pump", subsets=("dev",))
    dataset = open_dataset(tmp_path / "out")
    assert (dataset.machines(), dataset.sets) == (("fan", "pump"), ("dev",))
    assert len(server.requests) == 2


def test_existing_files_are_kept(server: RecordServer, tmp_path: Path) -> None:
    publish(server, tmp_path / "scratch", 2022, "fan")
    get(server, tmp_path / "out", 2022, "fan")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.wav")}
    server.requests.clear()
    assert {result.state for result in get(server, tmp_path / "out", 2022, "fan")} == {"kept"}
    assert not server.requests
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.wav")}


@pytest.mark.parametrize("damage", ["lost", "cut"])
def test_files_lost_since_are_downloaded_again(
    server: RecordServer, tmp_path: Path, damage: str
) -> None:
    publish(server, tmp_path / "scratch", 2020, "fan")
    get(server, tmp_path / "out", 2020, "fan")
    clip = next(iter(sorted((tmp_path / "out").rglob("*.wav"))))
    content = clip.read_bytes()
    clip.unlink()
    if damage == "cut":
        clip.write_bytes(content[:5])
        with pytest.raises(DatasetError, match="differs from the official file; move it away"):
            get(server, tmp_path / "out", 2020, "fan")
        clip.unlink()
    get(server, tmp_path / "out", 2020, "fan")
    assert clip.read_bytes() == content


def test_archives_that_the_user_provides_are_used_and_kept(
    server: RecordServer, tmp_path: Path
) -> None:
    publish(server, tmp_path / "scratch", 2020, "fan")
    archive = tmp_path / "out" / "dev_data_fan.zip"
    archive.parent.mkdir()
    archive.write_bytes(server.files[archive.name])
    get(server, tmp_path / "out", 2020, "fan", subsets=("dev",))
    assert not server.requests
    assert archive.exists()
    assert open_dataset(tmp_path / "out").machines() == ("fan",)


def test_another_file_with_the_name_of_an_archive_is_kept(
    server: RecordServer, tmp_path: Path
) -> None:
    publish(server, tmp_path / "scratch", 2020, "fan")
    archive = tmp_path / "out" / "dev_data_fan.zip"
    archive.parent.mkdir()
    archive.write_bytes(b"mine")
    with pytest.raises(DatasetError, match="is not the file of the record"):
        get(server, tmp_path / "out", 2020, "fan", subsets=("dev",))
    assert archive.read_bytes() == b"mine"


def test_an_archive_without_the_machine_folder_is_unpacked_into_one(
    server: RecordServer, tmp_path: Path
) -> None:
    server.add(3678171, "dev_data_fan.zip", zipped({"train/normal_id_00_00000000.wav": b"x"}))
    get(server, tmp_path, 2020, "fan", subsets=("dev",))
    assert (tmp_path / "dev_data" / "fan" / "train" / "normal_id_00_00000000.wav").exists()


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 no archive", zipped({"fan/../../../evil.wav": b"x"}), b"x" * 99]
)
def test_a_damaged_or_dangerous_archive_leaves_no_clip(
    server: RecordServer, tmp_path: Path, content: bytes
) -> None:
    server.add(3678171, "dev_data_fan.zip", content)
    with pytest.raises(DatasetError, match=r"damaged|refused"):
        get(server, tmp_path / "out", 2020, "fan", subsets=("dev",))
    assert not list(tmp_path.rglob("*.wav"))
    assert not (tmp_path / "out" / ".download" / "unpacking").exists()


def test_an_interrupted_download_resumes(
    server: RecordServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, tmp_path / "scratch", 2020, "fan")
    count = 0
    replace = Path.replace

    def stop(self: Path, target: Path) -> Path:
        nonlocal count
        count += self.suffix == ".wav"
        if count == 3:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            get(server, tmp_path / "out", 2020, "fan", subsets=("dev",))
    server.requests.clear()
    get(server, tmp_path / "out", 2020, "fan", subsets=("dev",))
    assert not server.requests  # the archive was complete, only unpacking was missing
    assert len(open_dataset(tmp_path / "out").clips) == 12


def test_another_year_needs_another_folder(server: RecordServer, tmp_path: Path) -> None:
    publish(server, tmp_path / "scratch", 2020, "fan")
    get(server, tmp_path / "out", 2020, "fan")
    with pytest.raises(DatasetError, match="holds DCASE 2020; give another folder for 2021"):
        get(server, tmp_path / "out", 2021, "fan")


def test_two_downloads_into_one_folder_are_refused(server: RecordServer, tmp_path: Path) -> None:
    (tmp_path / ".download").mkdir()
    with (tmp_path / ".download" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DatasetError, match="another download"):
            get(server, tmp_path, 2020, "fan")


def test_a_full_disk_is_reported_before_the_download(server: RecordServer, tmp_path: Path) -> None:
    publish(server, tmp_path / "scratch", 2020, "fan")
    text = json.loads(server.record(3678171))
    text["files"][0]["size"] = 10**18
    server.record_text = json.dumps(text).encode()
    with pytest.raises(DatasetError, match=r"needs more than 1000000000\.0 GB"):
        get(server, tmp_path / "out", 2020, "fan", subsets=("dev",))
    assert not server.requests


def test_a_file_instead_of_the_folder_is_an_error(server: RecordServer, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(DatasetError, match="cannot be written"):
        get(server, tmp_path / "out", 2020, "fan")


def test_an_unknown_machine_is_refused_with_the_nearest(
    server: RecordServer, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"2020 has no machine toycat .*nearest: ToyCar"):
        get(server, tmp_path, 2020, "toycat")


def test_a_machine_of_the_other_set_is_refused(server: RecordServer, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no machine bandsaw in the requested sets"):
        get(server, tmp_path, 2023, "bandsaw", subsets=("dev",))


def test_an_unsupported_year_is_refused(server: RecordServer, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="2019 cannot be downloaded"):
        get(server, tmp_path, 2019)


def test_the_files_of_a_record_without_the_archive_are_listed(
    server: RecordServer, tmp_path: Path
) -> None:
    publish(server, tmp_path / "scratch", 2020, "pump")
    with pytest.raises(DatasetError, match=r"expected dev_data_fan\.zip, found dev_data_pump\.zip"):
        get(server, tmp_path / "out", 2020, "fan")


def run(*arguments: str) -> tuple[int, str, str]:
    app = Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_prints_one_document_and_progress_on_stderr(
    server: RecordServer, tmp_path: Path
) -> None:
    publish(server, tmp_path / "scratch", 2023, "fan")
    out = str(tmp_path / "out")
    code, stdout, stderr = run(
        out, "--year", "2023", "--machines", "fan", "--server", server.url, "--json"
    )
    document = json.loads(stdout)
    assert code == 0
    assert (document["year"], document["machines"], document["clips"]) == (2023, ["fan"], 12)
    assert document["archives"][0]["name"] == "dev_fan.zip"
    assert "dev_fan.zip: 100 %" in stderr


PROGRAM = """
import signal, typer
from asd_monitor.commands.download import download
signal.signal(signal.SIGINT, signal.default_int_handler)
app = typer.Typer()
app.command()(download)
app()
"""


def test_ctrl_c_keeps_received_data_and_explains_how_to_resume(
    server: RecordServer, tmp_path: Path
) -> None:
    noise = random.Random(1).randbytes(900_000)  # noqa: S311
    server.add(3678171, "dev_data_fan.zip", zipped({"fan/train/normal_id_00_00000000.wav": noise}))
    server.hold_after = 600_000
    part = tmp_path / ".download" / "dev_data_fan.zip.part"
    arguments = [str(tmp_path), "--year", "2020", "--machines", "fan", "--server", server.url]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE, text=True
    ) as program:
        while not part.exists() or not part.stat().st_size:
            assert program.poll() is None
            time.sleep(0.02)
        program.send_signal(signal.SIGINT)
        _, stderr = program.communicate(timeout=400)
    server.release.set()
    server.hold_after = None
    assert program.returncode == 130
    assert "run the same command again to resume" in stderr
    assert part.stat().st_size >= 1 << 18
    assert run(*arguments)[0] == 0
    assert server.requests[-1][1].startswith("bytes=")
    assert open_dataset(tmp_path).machines() == ("fan",)


def test_a_progress_bar_is_shown_on_a_terminal(server: RecordServer, tmp_path: Path) -> None:
    publish(server, tmp_path / "scratch", 2020, "fan")
    arguments = [str(tmp_path / "out"), "--year", "2020", "--machines", "fan"]
    terminal, program_end = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments, "--server", server.url],
        stderr=program_end,
        stdout=subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    ) as program:
        os.close(program_end)
        output = b""
        with suppress(OSError):  # the terminal's end
            while block := os.read(terminal, 4096):
                output += block
    os.close(terminal)
    assert program.returncode == 0
    assert b"dev_data_fan.zip" in output
    assert "━".encode() in output
