"""Run asd-monitor on another computer, with the system's ssh."""

import re
from dataclasses import dataclass
from typing import Self

PROGRAM = "asd-monitor"
OPTIONS = (
    "-T",  # no terminal: stdin and stdout carry bytes
    "-o", "BatchMode=yes",  # there may be nobody to type a password
    "-o", "ConnectTimeout=15",
    "-o", "ServerAliveInterval=15",
)  # fmt: skip
_ADDRESS = re.compile(
    r"(?P<host>[A-Za-z0-9_][A-Za-z0-9_.@+-]*)(?::(?P<program>[~/][A-Za-z0-9_.~/+-]*))?"
)


@dataclass(frozen=True, slots=True)
class RemoteProgram:
    """An asd-monitor on another computer."""

    host: str
    """As ssh takes it: a name of ``~/.ssh/config``, ``host`` or ``user@host``."""
    program: str = PROGRAM

    @classmethod
    def parse(cls, address: str) -> Self:
        """Return the program that ``[USER@]HOST[:/PATH/OF/asd-monitor]`` names.

        Raises
        ------
        ValueError
            If it is not of this form.
        """
        found = _ADDRESS.fullmatch(address)
        if found is None:
            msg = (
                "expected HOST or HOST:/PATH/OF/asd-monitor, as ssh takes it, with a user in front "
                "of the host if needed"
            )
            raise ValueError(msg)
        return cls(found["host"], found["program"] or PROGRAM)

    def command(self, *arguments: str) -> list[str]:
        """Return the command that runs it there; arguments must need no quoting."""
        return ["ssh", *OPTIONS, "--", self.host, " ".join([self.program, *arguments])]


def check_address(address: str) -> str:
    """Return an address; ValueError as :meth:`RemoteProgram.parse`."""
    RemoteProgram.parse(address)
    return address
