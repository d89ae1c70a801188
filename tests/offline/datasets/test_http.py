"""A file arrives as its record describes it, whatever the line and the server do."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.datasets.download.http import Patience, RemoteFile, fetch
from asd_offline.datasets.download.zenodo import read_record
from tests.offline.zenodo_server import RecordServer, serving

CONTENT = bytes(range(251)) * 4000  # about 1 MB
NAME = "dev_fan.zip"


@dataclass
class Seen:
    """Progress and waits, as they were reported."""

    begins: list[int] = field(default_factory=list)
    arrived: int = 0
    said: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def begin(self, name: str, total_bytes: int, have_bytes: int) -> None:
        assert (name, total_bytes) == (NAME, len(CONTENT))
        self.begins.append(have_bytes)

    def advance(self, count_bytes: int) -> None:
        self.arrived += count_bytes

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def server() -> Iterator[RecordServer]:
    with serving() as server:
        server.add(1, NAME, CONTENT)
        yield server


def get(server: RecordServer, folder: Path, attempts: int = 3) -> tuple[Path, Seen]:
    seen = Seen()
    patience = Patience(attempts=attempts, sleep=seen.waits.append)
    file = read_record(1, server.url, patience)[NAME]
    fetch(file, folder / NAME, seen, patience)
    return folder / NAME, seen


def test_a_file_arrives_in_one_piece(server: RecordServer, tmp_path: Path) -> None:
    path, seen = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert (seen.begins, seen.arrived, seen.waits) == ([0], len(CONTENT), [])
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_a_broken_download_goes_on_where_it_was(server: RecordServer, tmp_path: Path) -> None:
    server.break_after = [300_000, 400_000]
    path, seen = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert [wish for _, wish in server.asked] == ["", "bytes=300000-", "bytes=700000-"]
    assert seen.begins == [0, 300_000, 700_000]
    assert seen.arrived == len(CONTENT)


def test_a_later_call_goes_on_where_the_first_gave_up(server: RecordServer, tmp_path: Path) -> None:
    server.break_after = [500_000, 0, 0]
    with pytest.raises(DatasetError, match=r"given up, it ended after 500000 of .* is kept"):
        get(server, tmp_path)
    path, _ = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked[-1][1] == "bytes=500000-"


def test_a_server_that_ignores_the_range_sends_all_again(
    server: RecordServer, tmp_path: Path
) -> None:
    server.ignores_range, server.break_after = True, [300_000]
    path, seen = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert seen.begins == [0, 0]


def test_a_server_that_ignores_the_range_and_always_breaks_off_is_given_up(
    server: RecordServer, tmp_path: Path
) -> None:
    server.ignores_range, server.break_after = True, [300_000] * 50
    with pytest.raises(DatasetError, match="given up"):
        get(server, tmp_path)
    assert len(server.asked) == 3


def test_a_wrong_piece_is_not_appended(server: RecordServer, tmp_path: Path) -> None:
    server.wrong_range, server.break_after = True, [300_000]
    with pytest.raises(DatasetError, match="another piece than the one asked for"):
        get(server, tmp_path)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:300_000]


def test_a_length_that_is_too_small_is_seen_through(server: RecordServer, tmp_path: Path) -> None:
    server.claims_bytes = 200_000
    assert get(server, tmp_path)[0].read_bytes() == CONTENT


def test_a_length_that_is_too_large_is_seen_through(server: RecordServer, tmp_path: Path) -> None:
    server.claims_bytes = len(CONTENT) * 2
    assert get(server, tmp_path)[0].read_bytes() == CONTENT


def test_more_than_the_record_says_is_refused(server: RecordServer, tmp_path: Path) -> None:
    server.sends[NAME] = CONTENT + b"x"
    with pytest.raises(DatasetError, match=f"more than the {len(CONTENT)} bytes"):
        get(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_wrong_checksum_is_tried_twice_and_leaves_nothing(
    server: RecordServer, tmp_path: Path
) -> None:
    server.sends[NAME] = CONTENT[:-1] + b"x"
    with pytest.raises(DatasetError, match=r"expected MD5 .* twice"):
        get(server, tmp_path)
    assert len(server.asked) == 2
    assert not list(tmp_path.iterdir())


def test_a_damaged_part_is_thrown_away_and_fetched_anew(
    server: RecordServer, tmp_path: Path
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * 300_000)
    path, seen = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert "the checksum is wrong" in seen.said[0]


@pytest.mark.parametrize("extra", [b"", b"too long"])
def test_a_part_of_full_length_is_not_asked_for_again_and_a_longer_one_is(
    server: RecordServer, tmp_path: Path, extra: bytes
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + extra)
    path, _ = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert len(server.asked) == len(extra[:1])


def test_an_overloaded_server_is_waited_for(server: RecordServer, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    path, seen = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert seen.waits == [1.0, 2.0]


def test_a_server_that_stays_overloaded_is_given_up(server: RecordServer, tmp_path: Path) -> None:
    server.statuses = [503] * 9
    with pytest.raises(DatasetError, match="given up, the server answered 503"):
        get(server, tmp_path)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_is_not_tried_again(
    server: RecordServer, tmp_path: Path, status: int
) -> None:
    server.statuses = [status]
    with pytest.raises(DatasetError, match=f"answered {status}"):
        get(server, tmp_path)
    assert len(server.asked) == 1


def test_waits_double_up_to_a_limit() -> None:
    waits: list[float] = []
    patience = Patience(longest_wait_s=5, sleep=waits.append)
    for failures in range(1, 5):
        patience.wait(failures, asked_s=0)
    patience.wait(1, asked_s=3)
    patience.wait(1, asked_s=900)
    assert waits == [1, 2, 4, 5, 3, 5]


def test_without_a_network_the_advice_is_to_look_at_it(tmp_path: Path) -> None:
    with serving() as gone:
        url = gone.url
    patience = Patience(attempts=2, sleep=lambda _: None)
    with pytest.raises(
        DatasetError, match=r"given up after 2 attempts: no connection .*HTTPS_PROXY"
    ):
        read_record(1, url, patience)
    file = RemoteFile(NAME, 5, hashlib.md5(b"hello").hexdigest(), f"{url}/x")  # noqa: S324
    with pytest.raises(DatasetError, match="given up, no connection"):
        fetch(file, tmp_path / NAME, Seen(), patience)


def test_only_http_is_spoken(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"hello")
    file = RemoteFile(NAME, 5, "0" * 32, f"file://{tmp_path}/secret")
    with pytest.raises(DatasetError, match="expected an address that begins with http"):
        fetch(file, tmp_path / NAME, Seen(), Patience())


def test_an_unknown_record_is_named(server: RecordServer) -> None:
    with pytest.raises(DatasetError, match=r"api/records/77: the server answered 404"):
        read_record(77, server.url, Patience())


@pytest.mark.parametrize(
    "text",
    [
        b"<html>login</html>",
        b"[]",
        b'{"files": 3}',
        b'{"files": [{}]}',
        b'{"files": [{"key": "../a.zip", "size": 3, "checksum": "md5:%s"}]}' % (b"0" * 32),
        b'{"files": [{"key": "a.zip", "size": "3", "checksum": "md5:%s"}]}' % (b"0" * 32),
        b'{"files": [{"key": "a.zip", "size": 3, "checksum": "sha1:00"}]}',
        b'{"files": [{"key": "a.zip", "size": 3, "checksum": null}]}',
    ],
)
def test_a_record_of_another_form_is_refused(server: RecordServer, text: bytes) -> None:
    server.record_text = text
    with pytest.raises(DatasetError, match="expected a record with files"):
        read_record(1, server.url, Patience())


def test_a_record_with_entries_and_without_links_is_read(server: RecordServer) -> None:
    server.record_text = (
        b'{"files": {"entries": {"a": {"key": "a.zip", "size": 3, "checksum": "md5:%s"}}}}'
        % (b"0" * 32)
    )
    found = read_record(1, server.url, Patience())["a.zip"]
    assert found == replace(
        found, size_bytes=3, url=f"{server.url}/records/1/files/a.zip?download=1"
    )


@pytest.mark.parametrize("sent", [len(CONTENT), 100])
def test_a_full_disk_is_named_and_not_tried_again(
    server: RecordServer, tmp_path: Path, sent: int
) -> None:
    server.break_after = [sent]
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    with pytest.raises(DatasetError, match=r"cannot be written .*is the disk full"):
        get(server, tmp_path)
    assert len(server.asked) == 1
