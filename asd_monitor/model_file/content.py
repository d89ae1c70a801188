"""Read the manifest and the other extra members of a model file, without torch."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.archive import read_bytes, replace_member, unseal
from asd_monitor.model_file.made_here import note_made
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.normal_sound.statistics import NormalSound

MANIFEST = "manifest.json"
REFERENCE_WINDOWS = "golden.f32"
REFERENCE_SCORES = "golden.json"
NORMAL_SOUND = "normal_sound.json"
"""Optional: statistics of the normal sound of each target."""


def read_manifest(path: Path | str) -> tuple[Manifest, str]:
    """Check a model file's integrity and return its manifest and SHA-256, without torch.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or not a model file of a supported version.
    """
    path = Path(path)
    content = read_bytes(path)
    manifest, _ = open_content(content, path)
    return manifest, hashlib.sha256(content).hexdigest()


def replace_manifest(content: bytes, manifest: Manifest) -> bytes:
    """Return an admitted model file with another manifest, without a signature.

    Its code, its tensors and its reference windows stay as they are.
    """
    new = json.dumps(manifest.to_dict(), allow_nan=False).encode()
    changed = replace_member(content, f"/extra/{MANIFEST}", new)
    note_made(changed)
    return changed


def open_content(content: bytes, path: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Return the manifest and all extra files of a model file, by name."""
    members = {}
    for name, data in unseal(content, path, is_wanted=lambda name: "/extra/" in name).items():
        folder, _, last = name.rpartition("/")
        if folder.endswith("/extra"):
            members[last] = data
    values = read_json(members, MANIFEST, path)
    try:
        return Manifest.from_dict(values), members
    except ValueError as error:
        raise ModelFileError(f"{path}: {MANIFEST}: {error}") from error


def read_json(members: Mapping[str, bytes], name: str, path: Path) -> dict[str, object]:
    """Return the object in a member of JSON; raise ModelFileError if there is none."""
    if name not in members:
        raise ModelFileError(f"{path}: has no {name}: not a model file of asd-monitor")
    try:
        values = json.loads(members[name])
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path}: {name} is not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise ModelFileError(f"{path}: {name}: expected an object, got {type(values).__name__}")
    return values


def read_normal_sound(
    manifest: Manifest, members: Mapping[str, bytes], path: Path
) -> dict[str, NormalSound]:
    """Return the statistics of normal sound by target, if this version can use them."""
    if NORMAL_SOUND not in members:
        return {}
    read = {}
    for target, values in read_json(members, NORMAL_SOUND, path).items():
        try:
            if target not in manifest.targets:
                raise ValueError(f"expected a target from {manifest.targets}")
            normal_sound = NormalSound.from_dict(cast("dict[str, object]", values))
        except (AttributeError, ValueError) as error:
            raise ModelFileError(f"{path}: {NORMAL_SOUND}: {target}: {error}") from error
        if normal_sound is not None:
            read[target] = normal_sound
    return read
