"""A stand-in for ssh that runs commands on this computer, in an environment of its own."""

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

SCRIPT = """#!/bin/sh
echo "$@" >> {log}
while [ "$1" != -- ]; do shift; done
shift 2
exec env {variables} sh -c "$*"
"""


class StandInSsh:
    """``ssh`` in a folder for PATH.

    Parameters
    ----------
    folder
        An empty folder.
    variables
        Environment variables of the commands, in addition to those of the caller.

    Attributes
    ----------
    environment
        Of a program that finds it.
    """

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        self._folder, self._log = folder / "local", folder / "log"
        self._remote = folder / "remote"
        self._folder.mkdir(parents=True)
        self._remote.mkdir()
        there = {"PATH": f"{self._remote}:/usr/bin:/bin", **(variables or {})}
        assignments = shlex.join(f"{name}={value}" for name, value in there.items())
        self._write(
            self._folder / "ssh",
            SCRIPT.format(log=shlex.quote(str(self._log)), variables=assignments),
        )
        path = os.pathsep.join([str(self._folder), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": path}

    def install(self, script: str = "") -> None:
        """Install asd-monitor on the other computer: this one, or a shell script."""
        run = f'exec {shlex.quote(sys.executable)} -m asd_monitor.cli "$@"'
        self._write(self._remote / "asd-monitor", f"#!/bin/sh\n{script or run}\n")

    def replace(self, script: str) -> None:
        """Let ssh be a shell script."""
        self._write(self._folder / "ssh", f"#!/bin/sh\n{script}\n")

    @property
    def calls(self) -> list[str]:
        """The arguments of each call."""
        return self._log.read_text().splitlines()

    def _write(self, path: Path, content: str) -> None:
        path.write_text(content)
        path.chmod(0o755)
