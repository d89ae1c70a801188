"""The model file: one archive with program, manifest, reference windows and checksums."""

from asd_monitor.model_file.format import load, load_content, pack, read_manifest, save, script

__all__ = ["load", "load_content", "pack", "read_manifest", "save", "script"]
