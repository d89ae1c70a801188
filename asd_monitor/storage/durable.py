"""Write files so that they survive a power failure once the call has returned."""

import os
from contextlib import suppress
from pathlib import Path


def write_durably(
    path: Path, content: bytes, *, mode: int = 0o666, unfinished: Path | None = None
) -> None:
    """Replace a file so that after a crash at any moment it is either the old or the new one.

    The content and the folder's entry are on the disk when this returns. What a process that was
    killed has left of the same file is removed.

    Parameters
    ----------
    path
        The file; its folder must exist.
    content
        The new content.
    mode
        Permissions of the file, less those of the umask.
    unfinished
        The file that is written first, in the same folder; None: one of this process.

    Raises
    ------
    OSError
        If it cannot be written; nothing has changed then.
    """
    if unfinished is None:
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        _remove_abandoned(path)
    try:
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):  # a read-only file system refuses even that
            unfinished.unlink(missing_ok=True)
        raise


def _remove_abandoned(path: Path) -> None:
    """Remove unfinished versions of a file whose processes have ended."""
    prefix, suffix = f".{path.name}.", ".unfinished"
    with suppress(OSError):
        for entry in os.listdir(path.parent):
            pid = entry.removeprefix(prefix).removesuffix(suffix)
            if entry == f"{prefix}{pid}{suffix}" and pid.isdecimal() and not _is_running(int(pid)):
                (path.parent / entry).unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def move_durably(path: Path, target: Path) -> None:
    """Rename a file within a file system, replacing the target; raise OSError on failure."""
    path.replace(target)
    sync_folder(target.parent)
    if path.parent != target.parent:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put the entries of a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder_durably(folder: Path) -> None:
    """Create a folder with its parents, and put their entries on the disk."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)
