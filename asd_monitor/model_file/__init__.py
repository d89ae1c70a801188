"""The model file: one archive with program, manifest, reference windows and checksums."""

from asd_monitor.model_file.admission import try_new, verify
from asd_monitor.model_file.content import read_manifest, replace_manifest
from asd_monitor.model_file.loading import load, load_content
from asd_monitor.model_file.packing import pack, save
from asd_monitor.model_file.policy import LoadPolicy
from asd_monitor.model_file.torchscript import script

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
