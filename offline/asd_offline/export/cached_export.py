"""The model file of a finished run, kept in its folder until the run changes."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.errors import DatasetError, ModelFileError
from asd_monitor.model_file import read_manifest
from asd_offline.export.export import export
from asd_offline.training.checkpoints import checkpoints_in
from asd_offline.training.run_folder import Run

FOLDER = "export"


def exported_run(
    folder: Path, cache: Path, progress: Callable[[int, int], None] | None = None
) -> tuple[Path, bool]:
    """Return a run's model file, and whether it had to be exported now.

    Parameters
    ----------
    folder
        Of the run.
    cache
        Folder of the feature cache.
    progress
        Told of features that have to be computed.

    Raises
    ------
    RunError, DatasetError, ModelFileError
        As :func:`asd_offline.export.export.export` does.
    """
    run = Run.open(folder)
    out = folder / FOLDER / f"{run.about.model}-{_state(run)[:16]}.asd"
    try:
        read_manifest(out)
    except ModelFileError:
        out.parent.mkdir(parents=True, exist_ok=True)
    else:
        return out, False
    try:
        export(folder, out, cache, features_progress=progress)
    except DatasetError as error:
        msg = f"{error}; where the data was moved, `asd-monitor export {folder} --out FILE"
        raise DatasetError(f"{msg} --dataset WHERE` and --model FILE go together") from error
    for old in out.parent.glob("*.asd"):
        if old != out:
            old.unlink()
    return out, True


def _state(run: Run) -> str:
    """Return a digest of all that an export depends on."""
    digest = hashlib.sha256(__version__.encode())
    digest.update((run.folder / "run.json").read_bytes())
    for each in sorted((run.folder / "networks").glob("*")):
        newest = [path.name for path in checkpoints_in(each)[:1]]
        digest.update(f"{each.name} {newest}".encode())
    return digest.hexdigest()
