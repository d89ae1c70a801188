"""An archive is unpacked completely or refused."""

import io
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.datasets.download import unzip as module
from asd_offline.datasets.download.unzip import unpack
from tests.offline.zenodo_server import zipped


def write(folder: Path, content: bytes) -> Path:
    path = folder / "a.zip"
    path.write_bytes(content)
    return path


def test_files_are_unpacked_without_those_of_operating_systems(tmp_path: Path) -> None:
    members = {
        "fan/": b"",
        "fan/train/a.wav": b"abc",
        "__MACOSX/fan/._a.wav": b"x",
        "fan/.DS_Store": b"x",
    }
    (tmp_path / "to").mkdir()
    files = unpack(write(tmp_path, zipped(members)), tmp_path / "to")
    assert [(str(file.relative), file.size_bytes) for file in files] == [("fan/train/a.wav", 3)]
    assert [p.name for p in (tmp_path / "to").rglob("*") if p.is_file()] == ["a.wav"]


def link(name: str, target: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


def fifo(name: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFIFO | 0o666) << 16
    return info, b""


@pytest.mark.parametrize(
    ("member", "reason"),
    [
        (("../evil.wav", b"x"), "leaves its folder"),
        (("fan/../../evil.wav", b"x"), "leaves its folder"),
        (("fan//evil.wav", b"x"), "leaves its folder"),
        (("./evil.wav", b"x"), "leaves its folder"),
        (("..", b"x"), "leaves its folder"),
        (("/etc/evil.wav", b"x"), "absolute"),
        (("C:/evil.wav", b"x"), "absolute"),
        (("..\\evil.wav", b"x"), "characters"),
        (("fan/a\n.wav", b"x"), "characters"),
        (link("fan/train", b"/etc"), "link or a device"),
        (fifo("fan/pipe.wav"), "link or a device"),
        (("FAN/OK.wav", b"x"), "occurs twice"),
    ],
)
def test_dangerous_members_are_refused_and_nothing_is_written(
    tmp_path: Path, member: tuple[zipfile.ZipInfo | str, bytes], reason: str
) -> None:
    (tmp_path / "to").mkdir()
    archive = write(tmp_path, zipped([("fan/ok.wav", b"x"), member]))
    with pytest.raises(DatasetError, match=f"refused, .*{reason}"):
        unpack(archive, tmp_path / "to")
    assert not list((tmp_path / "to").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "to"]


def test_equal_names_are_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile warns while writing them
        content = zipped([("a.wav", b"1"), ("a.wav", b"2")])
    with pytest.raises(DatasetError, match="occurs twice"):
        unpack(write(tmp_path, content), tmp_path)


def test_a_zip_bomb_is_refused(tmp_path: Path) -> None:
    bomb = zipped({"a.wav": bytes(1 << 25)})
    with pytest.raises(DatasetError, match="more than sound needs"):
        unpack(write(tmp_path, bomb), tmp_path)


def test_a_zip_bomb_with_a_wrong_size_is_damaged(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.wav": bytes(1 << 20)}))
    index = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, index + 24, 10)  # uncompressed size in the directory
    (tmp_path / "to").mkdir()
    with pytest.raises(DatasetError, match="damaged"):
        unpack(write(tmp_path, bytes(content)), tmp_path / "to")
    assert sum(p.stat().st_size for p in (tmp_path / "to").rglob("*") if p.is_file()) <= 10


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MEMBERS", 3)
    with pytest.raises(DatasetError, match="4 files"):
        unpack(write(tmp_path, zipped({f"{n}.wav": b"" for n in range(4)})), tmp_path)


def test_an_empty_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="empty"):
        unpack(write(tmp_path, zipped({})), tmp_path)


@pytest.mark.parametrize("keep", [0, 10, 200])
def test_a_truncated_archive_is_damaged(tmp_path: Path, keep: int) -> None:
    with pytest.raises(DatasetError, match="damaged"):
        unpack(write(tmp_path, zipped({"a.wav": bytes(range(256)) * 9})[:keep]), tmp_path)


def test_changed_contents_are_damaged(tmp_path: Path) -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.wav", b"sound" * 100)
    content = memory.getvalue().replace(b"sound", b"noise", 1)
    with pytest.raises(DatasetError, match="damaged"):
        unpack(write(tmp_path, content), tmp_path)


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.wav": b"x"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    with pytest.raises(DatasetError, match="encrypted"):
        unpack(write(tmp_path, bytes(content)), tmp_path)
