"""The model file of a finished run, kept in the run's folder until the run changes."""

import hashlib
from pathlib import Path

from asd_monitor import __version__
from asd_monitor.errors import DatasetError, ModelFileError
from asd_monitor.model_file import read_manifest
from asd_monitor.progress import Progress
from asd_offline.export.export import export
from asd_offline.training.checkpoints import list_checkpoints
from asd_offline.training.run_folder import Run

FOLDER = "export"


def ensure_exported(
    folder: Path, cache: Path, progress: Progress | None = None
) -> tuple[Path, bool]:
    """Return a run's model file, and whether it was exported by this call.

    Parameters
    ----------
    folder
        Folder of the run.
    cache
        Folder of the feature cache.
    progress
        Receives the computation of features.

    Raises
    ------
    RunError, DatasetError, ModelFileError
        As :func:`asd_offline.export.export.export` does.
    """
    run = Run.open(folder)
    path = folder / FOLDER / f"{run.metadata.model}-{_digest(run)[:16]}.asd"
    try:
        read_manifest(path)
    except ModelFileError:
        path.parent.mkdir(parents=True, exist_ok=True)
    else:
        return path, False
    try:
        export(folder, path, cache, progress=progress)
    except DatasetError as error:
        command = f"`asd-monitor export {folder} --out FILE --dataset FOLDER`"
        msg = f"{error}; if the data was moved, run {command}, then replay with --model FILE"
        raise DatasetError(msg) from error
    for old in path.parent.glob("*.asd"):
        if old != path:
            old.unlink()
    return path, True


def _digest(run: Run) -> str:
    """Return a digest of everything that an export depends on."""
    digest = hashlib.sha256(__version__.encode())
    digest.update((run.folder / "run.json").read_bytes())
    for network in sorted((run.folder / "networks").glob("*")):
        newest = [path.name for path in list_checkpoints(network)[:1]]
        digest.update(f"{network.name} {newest}".encode())
    return digest.hexdigest()
