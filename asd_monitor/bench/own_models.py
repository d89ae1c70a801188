"""Model files of many machines that differ as those of a monitor do: in their tensors only."""

import io
import json
import shutil
import zipfile
from pathlib import Path

from asd_monitor.model_file.archive import INTEGRITY_MEMBER, seal
from asd_monitor.model_file.keys import OWN_KEY_FILE, own_key
from asd_monitor.model_file.outline import UnusualFileError, read_outline
from asd_monitor.model_file.signature import sign

_LAST_BIT = 1
_MANIFEST = "/extra/manifest.json"


def make_own_models(model: Path, folder: Path, count: int) -> list[Path]:
    """Return model files that compute the same as ``model`` within rounding errors.

    The last bit of a value differs, and the revision. They are signed with the key of the folder,
    as those that a monitor has learned are; :func:`make_state` makes a state folder that has it.
    """
    folder.mkdir(exist_ok=True)
    key = own_key(folder)
    with zipfile.ZipFile(model) as archive:
        members = {
            name: archive.read(name) for name in archive.namelist() if name != INTEGRITY_MEMBER
        }
        changed = _find_largest(archive)
    paths = []
    for number in range(count):
        path = folder / f"own-{number:04}.asd"
        if not path.exists():
            path.write_bytes(sign(_vary(members, changed, number), key))
        paths.append(path)
    return paths


def make_state(folder: Path, keys: Path) -> None:
    """Make an empty state folder, whose own key is that of another folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    if (keys / OWN_KEY_FILE).exists():
        shutil.copy2(keys / OWN_KEY_FILE, folder / OWN_KEY_FILE)


def _find_largest(archive: zipfile.ZipFile) -> str:
    """Return the member with the largest tensor of floats; empty if there is none."""
    try:
        storages = [item.tensor.storage for item in read_outline(archive).tensors]
    except UnusualFileError:
        return ""
    floats = [storage for storage in storages if storage.dtype == "float32"]
    return max(floats, key=lambda storage: storage.elements).member if floats else ""


def _vary(members: dict[str, bytes], changed: str, number: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            if name == changed and number:
                values = bytearray(content)
                values[4 * (number % (len(values) // 4))] ^= _LAST_BIT
                content = bytes(values)
            elif name.endswith(_MANIFEST):
                content = json.dumps(json.loads(content) | {"revision": str(number)}).encode()
            archive.writestr(name, content)
    return seal(buffer.getvalue())
