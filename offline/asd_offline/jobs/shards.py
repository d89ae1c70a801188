"""Shards: the part of the jobs that one task of a Slurm array runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from asd_monitor.errors import ConfigError
from asd_offline.jobs.pool import Job

JobT = TypeVar("JobT", bound=Job)


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several equal parts of the jobs."""

    number: int
    """From 1."""
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return the shard of an option such as ``2/8``.

        Raises
        ------
        ConfigError
            If it is not such a text.
        """
        number, _, count = text.partition("/")
        if number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return cls(int(number), int(count))
        raise ConfigError(f"--shard: expected I/N with I from 1 to N, such as 2/8, found {text!r}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def take(self, jobs: Sequence[JobT]) -> list[JobT]:
        """Return consecutive jobs of this shard; each job is in exactly one of the shards."""
        first, end = (len(jobs) * n // self.count for n in (self.number - 1, self.number))
        return list(jobs[first:end])
