"""Files are downloaded as their records describe them, despite network and server failures."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.datasets.download.http import RemoteFile, RetryPolicy, fetch
from asd_offline.datasets.download.zenodo import read_record
from tests.offline.zenodo_server import RecordServer, serving

CONTENT = bytes(range(251)) * 4000  # about 1 MB
NAME = "dev_fan.zip"


@dataclass
class RecordedProgress:
    """Progress that records updates, messages and waits."""

    done: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        assert (stage, total, detail) == (NAME, len(CONTENT), "")
        self.done.append(int(done))

    def message(self, text: str) -> None:
        self.messages.append(text)

    @property
    def offsets(self) -> list[int]:
        """Byte offset at which each response began: where the bytes do not increase."""
        return [b for a, b in pairwise([len(CONTENT), *self.done]) if b <= a]

    @property
    def received(self) -> int:
        return sum(b - a for a, b in pairwise(self.done) if b > a)


@pytest.fixture
def server() -> Iterator[RecordServer]:
    with serving() as server:
        server.add(1, NAME, CONTENT)
        yield server


def get(server: RecordServer, folder: Path, attempts: int = 3) -> tuple[Path, RecordedProgress]:
    progress = RecordedProgress()
    retry = RetryPolicy(max_attempts=attempts, sleep=progress.waits.append)
    file = read_record(1, server.url, retry)[NAME]
    fetch(file, folder / NAME, progress, retry)
    return folder / NAME, progress


def test_a_file_is_downloaded_in_one_request(server: RecordServer, tmp_path: Path) -> None:
    path, progress = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert (progress.offsets, progress.received, progress.waits) == ([0], len(CONTENT), [])
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_a_broken_download_resumes(server: RecordServer, tmp_path: Path) -> None:
    server.break_after = [300_000, 400_000]
    path, progress = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert [requested for _, requested in server.requests] == ["", "bytes=300000-", "bytes=700000-"]
    assert progress.offsets == [0, 300_000, 700_000]
    assert progress.received == len(CONTENT)


def test_a_later_call_resumes_where_the_first_gave_up(server: RecordServer, tmp_path: Path) -> None:
    server.break_after = [500_000, 0, 0]
    with pytest.raises(DatasetError, match=r"gave up, it ended after 500000 of .* is kept"):
        get(server, tmp_path)
    path, _ = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=500000-"


def test_a_server_that_ignores_the_range_sends_all_again(
    server: RecordServer, tmp_path: Path
) -> None:
    server.ignores_range, server.break_after = True, [300_000]
    path, progress = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert progress.offsets == [0, 0]


def test_a_server_that_ignores_the_range_and_always_fails_is_given_up(
    server: RecordServer, tmp_path: Path
) -> None:
    server.ignores_range, server.break_after = True, [300_000] * 50
    with pytest.raises(DatasetError, match="gave up"):
        get(server, tmp_path)
    assert len(server.requests) == 3


def test_a_wrong_range_is_not_appended(server: RecordServer, tmp_path: Path) -> None:
    server.wrong_range, server.break_after = True, [300_000]
    with pytest.raises(DatasetError, match="another range than the requested one"):
        get(server, tmp_path)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:300_000]


def test_a_length_that_is_too_small_is_not_trusted(server: RecordServer, tmp_path: Path) -> None:
    server.claims_bytes = 200_000
    assert get(server, tmp_path)[0].read_bytes() == CONTENT


def test_a_length_that_is_too_large_is_not_trusted(server: RecordServer, tmp_path: Path) -> None:
    server.claims_bytes = len(CONTENT) * 2
    assert get(server, tmp_path)[0].read_bytes() == CONTENT


def test_more_bytes_than_in_the_record_are_refused(server: RecordServer, tmp_path: Path) -> None:
    server.sends[NAME] = CONTENT + b"x"
    with pytest.raises(DatasetError, match=f"more than the {len(CONTENT)} bytes"):
        get(server, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_wrong_checksum_is_retried_once_and_leaves_no_file(
    server: RecordServer, tmp_path: Path
) -> None:
    server.sends[NAME] = CONTENT[:-1] + b"x"
    with pytest.raises(DatasetError, match=r"expected MD5 .* twice"):
        get(server, tmp_path)
    assert len(server.requests) == 2
    assert not list(tmp_path.iterdir())


def test_a_damaged_part_is_deleted_and_downloaded_again(
    server: RecordServer, tmp_path: Path
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(b"x" * 300_000)
    path, progress = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert "the checksum is wrong" in progress.messages[0]


@pytest.mark.parametrize("extra", [b"", b"too long"])
def test_a_part_of_full_length_is_not_requested_again_and_a_longer_one_is(
    server: RecordServer, tmp_path: Path, extra: bytes
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + extra)
    path, _ = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == len(extra[:1])


def test_an_overloaded_server_is_asked_again_after_its_wait(
    server: RecordServer, tmp_path: Path
) -> None:
    server.statuses = [503, 429]
    path, progress = get(server, tmp_path)
    assert path.read_bytes() == CONTENT
    assert progress.waits == [1.0, 2.0]


def test_a_server_that_stays_overloaded_is_given_up(server: RecordServer, tmp_path: Path) -> None:
    server.statuses = [503] * 9
    with pytest.raises(DatasetError, match="gave up, the server answered 503"):
        get(server, tmp_path)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_missing_file_is_not_requested_again(
    server: RecordServer, tmp_path: Path, status: int
) -> None:
    server.statuses = [status]
    with pytest.raises(DatasetError, match=f"answered {status}"):
        get(server, tmp_path)
    assert len(server.requests) == 1


def test_waits_double_up_to_a_limit() -> None:
    waits: list[float] = []
    retry = RetryPolicy(max_wait_s=5, sleep=waits.append)
    for failures in range(1, 5):
        retry.wait(failures, retry_after_s=0)
    retry.wait(1, retry_after_s=3)
    retry.wait(1, retry_after_s=900)
    assert waits == [1, 2, 4, 5, 3, 5]


def test_without_a_network_the_hint_is_to_check_it(tmp_path: Path) -> None:
    with serving() as gone:
        url = gone.url
    retry = RetryPolicy(max_attempts=2, sleep=lambda _: None)
    with pytest.raises(
        DatasetError, match=r"gave up after 2 attempts: no connection .*HTTPS_PROXY"
    ):
        read_record(1, url, retry)
    file = RemoteFile(NAME, 5, hashlib.md5(b"hello").hexdigest(), f"{url}/x")  # noqa: S324
    with pytest.raises(DatasetError, match="gave up, no connection"):
        fetch(file, tmp_path / NAME, RecordedProgress(), retry)


def test_only_http_addresses_are_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"hello")
    file = RemoteFile(NAME, 5, "0" * 32, f"file://{tmp_path}/secret")
    with pytest.raises(DatasetError, match="expected an address that begins with http"):
        fetch(file, tmp_path / NAME, RecordedProgress(), RetryPolicy())


def test_an_unknown_record_is_reported(server: RecordServer) -> None:
    with pytest.raises(DatasetError, match=r"api/records/77: the server answered 404"):
        read_record(77, server.url, RetryPolicy())


@pytest.mark.parametrize(
    "text",
    [
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
        read_record(1, server.url, RetryPolicy())


PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>Please log in</body></html>"


@pytest.mark.parametrize("text", [PAGE, b"<html>login</html>"])
def test_a_proxys_web_page_instead_of_a_record_is_named(server: RecordServer, text: bytes) -> None:
    server.record_text = text
    with pytest.raises(DatasetError, match=r"api/records/1: the answer is a web page \(HTML\)"):
        read_record(1, server.url, RetryPolicy())


def test_a_proxys_web_page_instead_of_an_archive_is_named_at_once(
    server: RecordServer, tmp_path: Path
) -> None:
    server.sends[NAME] = PAGE
    with pytest.raises(DatasetError, match=rf"{NAME}.*: the answer is a web page \(HTML\)"):
        get(server, tmp_path)
    assert len(server.requests) == 1
    assert not (tmp_path / NAME).exists()


def test_a_record_with_entries_and_without_links_is_read(server: RecordServer) -> None:
    server.record_text = (
        b'{"files": {"entries": {"a": {"key": "a.zip", "size": 3, "checksum": "md5:%s"}}}}'
        % (b"0" * 32)
    )
    file = read_record(1, server.url, RetryPolicy())["a.zip"]
    assert file == replace(file, size_bytes=3, url=f"{server.url}/records/1/files/a.zip?download=1")


@pytest.mark.parametrize("sent", [len(CONTENT), 100])
def test_a_full_disk_is_reported_and_not_retried(
    server: RecordServer, tmp_path: Path, sent: int
) -> None:
    server.break_after = [sent]
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    with pytest.raises(DatasetError, match=r"cannot be written .*is the disk full"):
        get(server, tmp_path)
    assert len(server.requests) == 1
