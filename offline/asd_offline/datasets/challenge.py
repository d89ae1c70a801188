"""Description of a DCASE challenge's data; one instance per year, in ``layouts.CHALLENGES``."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from asd_offline.datasets.clip import Domain, Subset
from asd_offline.datasets.parsed_name import ParsedName

SetName = Literal["dev", "eval"]
SETS: tuple[SetName, ...] = ("dev", "eval")

Sections = Mapping[str, tuple[str, ...]]
"""Machine type -> its sections."""
Vocabulary = Mapping[str, tuple[tuple[str, str], ...]]
"""Machine type -> for each section in turn: attributes in the source and in the target domain."""


@dataclass(frozen=True, slots=True)
class ArchiveSet:
    """One Zenodo record of a challenge: a zip per machine type of a set."""

    subset: SetName
    title: str
    record: int
    """Number of the record."""
    archive: str
    """File name with ``{machine}`` in it."""
    exceptions: Mapping[str, str] = field(default_factory=dict)
    """File names of machine types whose archive is named otherwise, such as a second issue."""

    def file_name(self, machine: str) -> str:
        """Return the file name of a machine type's archive."""
        return self.exceptions.get(machine) or self.archive.format(machine=machine)


@dataclass(frozen=True, slots=True)
class Numbering:
    """Numbers in the file names of one machine type."""

    first_train: int = 0
    """Number of the first training clip of each domain."""
    first_test: int = 0
    """Number of the first test clip of each group."""
    one_train_series: bool = False
    """The numbers of the target domain follow those of the source domain."""
    one_test_series: bool = False
    """Labelled test clips of all domains and labels are numbered in one series."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """Machines, folders, file names, label files and archives of one year."""

    year: int
    sets: Mapping[SetName, Sections]
    """Machine types and sections of the development and of the evaluation set."""
    parse: Callable[[str, str], ParsedName]
    """Parse (folder in lower case, bare file name); raises UnrecognisedFileName."""
    train_name: str
    """File name of a training clip, with ``{section}``, ``{domain}``, ``{label}``, ``{index}`` and
    ``{tail}`` (the attributes)."""
    test_name: str
    """File name of a labelled test clip, with the same fields."""
    anonymous_name: str
    """File name of a test clip of the evaluation set, with the fields that it shows."""
    archives: tuple[ArchiveSet, ...]
    section_word: Literal["id", "section"] = "section"
    """First word in names of sections."""
    domains: tuple[Domain, ...] = ("source", "target")
    """Empty where the data has no domains."""
    training_clips: Mapping[Domain, int] = field(default_factory=dict)
    """Training clips of a section by domain; empty where sections differ."""
    domain_folders: bool = False
    """Test clips are in ``source_test`` and ``target_test``, not in ``test``, and so are the
    ground-truth files divided."""
    single_section: bool = False
    """Every machine has ``section_00`` only."""
    attribute_lists: bool = False
    """``attributes_<SS>.csv`` files are next to ``train`` and ``test``."""
    label_lists: tuple[str, ...] = ()
    """Names of the file that lists the labels of the whole evaluation set; empty where there is a
    ground-truth file per section."""
    ground_truth_attributes: Literal["", "table", "names"] = ""
    """Form of the files in ``ground_truth_attributes``, if there are any: a table of attributes
    per section, or rows ``official name,name with attributes``."""
    machine_order: tuple[str, ...] = ()
    """Machine types in the order of the official results; empty where that is alphabetical."""
    channels: int = 1
    """Channels of every clip: with two, the first is near the machine and the second is not."""
    supplemental: str = ""
    """Folder next to ``train``, in lower case, with clips of the machine without noise or of noise
    alone; empty where there is none."""
    hidden_attributes: frozenset[str] = frozenset()
    """Machine types whose file names end with ``noAttribute`` instead of their attributes."""
    repeated_keys: frozenset[str] = frozenset()
    """Machine types whose file names have a key of an attribute twice."""
    full_name_column: frozenset[str] = frozenset()
    """Machine types whose ground truth lists the name with ``noAttribute`` and, in a third column,
    the one with the attributes; lines end with CR LF."""
    names_without_split: frozenset[str] = frozenset()
    """Machine types whose labelled names in the ground truth lack ``_test``."""
    numbering: Mapping[str, Numbering] = field(default_factory=dict)
    """Numbering of machine types that do not number each group from 0."""
    clip_s: Mapping[str, float] = field(default_factory=dict)
    """Length of clips in seconds, for synthetic data; 10 s for machine types without one."""
    vocabulary: Vocabulary = field(default_factory=dict)
    """Attributes that occur, for synthetic data: ``vel_{5,9}`` is ``vel_5`` and ``vel_9``;
    alternatives are separated by spaces. After ``=`` the same attributes follow as key_value
    pairs, where names do not have that form."""

    @property
    def machines(self) -> tuple[str, ...]:
        """Machine types of both sets, sorted."""
        return tuple(sorted({machine for name in SETS for machine in self.sets[name]}))

    @property
    def test_folders(self) -> tuple[str, ...]:
        """Folders of a machine that hold test clips."""
        return tuple(f"{d}_test" for d in self.domains) if self.domain_folders else ("test",)

    def numbers_of(self, machine: str) -> Numbering:
        """Return the numbering of a machine type's files."""
        return self.numbering.get(machine, Numbering())

    @property
    def exceptional_archives(self) -> frozenset[str]:
        """Names of archives that do not follow the rule, in lower case without suffix."""
        return frozenset(
            name.lower().removesuffix(".zip")
            for archives in self.archives
            for name in archives.exceptions.values()
        )

    def subset(self, machine: str, section: str) -> Subset:
        """Return the set that a section belongs to; empty for machines of no set."""
        for name in SETS:
            if section in self.sets[name].get(machine, ()):
                return name
        return ""

    def find_set(self, present: Mapping[str, Iterable[str]]) -> SetName | None:
        """Return the set that all the given machines and sections belong to, if there is one."""
        for name in SETS:
            official = self.sets[name]
            if present and all(set(s) <= set(official.get(m, ())) for m, s in present.items()):
                return name
        return None

    def sort_machines(self, machines: Iterable[str]) -> list[str]:
        """Sort machine types as the official results do."""
        rank = {machine: index for index, machine in enumerate(self.machine_order)}
        return sorted(machines, key=lambda machine: (rank.get(machine, len(rank)), machine))
