"""What a year's file says of its challenge; one instance per year, in ``CHALLENGES``."""

from collections.abc import Callable
from dataclasses import dataclass

from asd_offline.datasets.challenge_sets import SetName, official_set
from asd_offline.datasets.clip import Domain, Split, Subset

SETS: tuple[SetName, ...] = ("dev", "eval")


class UnrecognisedFileName(ValueError):  # noqa: N818 - it is a finding, shown as the reason of a rejection
    """A file name that the year does not know; the message is the reason."""


@dataclass(frozen=True, slots=True)
class ParsedName:
    """What a file name and its folder say."""

    section: str
    domain: Domain
    split: Split
    label: int | None
    index: int
    """Running number within its group."""
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ArchiveSet:
    """One record of the archive server: a zip per machine type of a set."""

    subset: SetName
    title: str
    record: int
    """Number of the Zenodo record."""
    archive: str
    """File name with ``{machine}`` in it."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Names and archives of one challenge."""

    year: int
    folders: tuple[str, ...]
    """Folders below a machine that hold clips, in lower case."""
    parse: Callable[[str, str], ParsedName]
    """Parse (folder in lower case, bare file name); raises UnrecognisedFileName."""
    archives: tuple[ArchiveSet, ...]
    has_domains: bool = True
    has_attribute_lists: bool = False
    """True where ``attributes_<SS>.csv`` files lie beside ``train`` and ``test``."""

    @property
    def machines(self) -> tuple[str, ...]:
        """Machine types of both sets, sorted."""
        return tuple(sorted({m for name in SETS for m in official_set(self.year, name)}))

    def subset(self, machine: str, section: str) -> Subset:
        """Set that a section belongs to; empty for machines that the challenge does not know."""
        for name in SETS:
            if section in official_set(self.year, name).get(machine, ()):
                return name
        return ""
