"""The model file: one archive with program, manifest, reference windows and checksums."""

from asd_monitor.model_file.format import (
    load,
    load_content,
    pack,
    read_manifest,
    replace_manifest,
    save,
    script,
    try_new,
    verify,
)
from asd_monitor.model_file.policy import LoadPolicy

__all__ = [
    "LoadPolicy",
    "load",
    "load_content",
    "pack",
    "read_manifest",
    "replace_manifest",
    "save",
    "script",
    "try_new",
    "verify",
]
