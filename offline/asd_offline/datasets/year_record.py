"""The year that `download` and `synth` record in the folders that they write."""

import json
from pathlib import Path

DOWNLOAD_STATE = ".download"
"""Folder of `download` below its output folder."""
YEAR_FILE = "year"
"""File in that folder with the year of the challenge."""
SYNTH_MANIFEST = "synth.json"
"""File of `synth` in its output folder."""
_MAX_LEVELS = 4
"""Folders above a dataset's root that may be the output folder: ``OUT/dev_data/fan``."""


def recorded_year(root: Path) -> int | None:
    """Return the year recorded in a folder or above it; None if there is no record."""
    for folder in [root.absolute(), *root.absolute().parents][:_MAX_LEVELS]:
        for read in (_downloaded_year, _synthetic_year):
            try:
                year = read(folder)
            except (OSError, ValueError, KeyError, TypeError):
                continue
            return year
    return None


def is_synthetic(root: Path) -> bool:
    """Return whether `synth` generated the recordings of a folder."""
    folders = [root.absolute(), *root.absolute().parents][:_MAX_LEVELS]
    return any((folder / SYNTH_MANIFEST).is_file() for folder in folders)


def _downloaded_year(folder: Path) -> int:
    return int((folder / DOWNLOAD_STATE / YEAR_FILE).read_text(encoding="ascii"))


def _synthetic_year(folder: Path) -> int:
    manifest = json.loads((folder / SYNTH_MANIFEST).read_text(encoding="utf-8"))
    return int(manifest["parameters"]["year"])
