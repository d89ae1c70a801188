"""A wall clock that is set while a whole program runs, by a preloaded library."""

import os
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock_shift.c")


class ShiftedClock:
    """The wall clock of the programs that are started with :attr:`environment`.

    Parameters
    ----------
    folder
        Where the compiled library goes.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "shift"
        self._path.write_bytes(struct.pack("d", 0.0))
        self._library = folder / "clock_shift.so"
        flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run(["gcc", *flags, "-o", self._library, SOURCE, "-lm"], check=True)

    def set(self, shift_s: float) -> None:
        """Set the clock to the true time plus a number of seconds."""
        with self._path.open("r+b") as file:
            file.write(struct.pack("d", shift_s))

    @property
    def environment(self) -> dict[str, str]:
        """The current environment with this clock."""
        return {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "LD_CLOCK_SHIFT_FILE": str(self._path),
        }
