"""The model file: one archive with program, manifest, reference windows and checksums."""

from asd_monitor.model_file.format import load, read_manifest, save, script

__all__ = ["load", "read_manifest", "save", "script"]
