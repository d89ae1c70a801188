"""Keep what is written from other users of the computer."""

import os

PRIVATE_UMASK = 0o077


def keep_private() -> None:
    """Let only the owner read files and folders that this process creates from now on.

    Recordings hold what people say near a machine. Files that exist keep their permissions.
    """
    os.umask(PRIVATE_UMASK)
