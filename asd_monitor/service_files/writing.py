"""Writing files without losing what is there."""

from collections.abc import Mapping
from pathlib import Path

from asd_monitor.errors import ConfigError

OLD_SUFFIX = ".old"


def find_replaced(folder: Path, texts: Mapping[str, str]) -> list[str]:
    """Return the names of files that exist with another content."""
    return [
        name
        for name, text in texts.items()
        if (path := folder / name).exists()
        and (not path.is_file() or path.read_bytes() != text.encode())
    ]


def write_files(folder: Path, texts: Mapping[str, str], *, replace: bool) -> list[str]:
    """Write files below a folder, all of them or none.

    Parameters
    ----------
    folder
        Is made if it does not exist.
    texts
        Content of each file by its name below the folder.
    replace
        Replace files that exist with another content. They are kept with the suffix ``.old``.

    Returns
    -------
    The names of the files that were replaced.

    Raises
    ------
    ConfigError
        If files exist with another content and ``replace`` is false, or a file cannot be written.
    """
    replaced = find_replaced(folder, texts)
    if replaced and not replace:
        listed = "".join(f"\n  {folder / name}" for name in replaced)
        msg = (
            f"these files exist and differ from what would be written:{listed}\n"
            f"nothing was written. Give another folder, or --force to replace them; they are then "
            f"kept with the suffix {OLD_SUFFIX}"
        )
        raise ConfigError(msg)
    try:
        for name, text in texts.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name in replaced:
                path.replace(path.with_name(path.name + OLD_SUFFIX))
            path.write_text(text, "utf-8")
    except OSError as error:
        msg = f"{error.filename or folder}: cannot be written: {error.strerror}"
        raise ConfigError(msg) from error
    return replaced
