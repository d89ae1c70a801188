"""Detect of which challenge a folder is, from file and folder names.

Certain evidence comes first: the form of the file names (ids or sections), the test folders,
attribute lists, the number of sections. Of the challenges that remain, the official machine types,
hidden attributes, folders of supplemental data and the numbers of training clips decide. Where
challenges of mono and of stereo clips remain, the header of one clip of the machine is read. What
`download` or `synth` have recorded decides between years that the names fit equally.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.clip import Domain
from asd_offline.datasets.layout_detection import LayoutEvidence
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.year_record import recorded_year

_STRAY_SHARE = 0.1
"""File names of another form up to this share are stray files and decide nothing."""


def detect_year(
    root: Path, evidence: Sequence[LayoutEvidence], given: int | None
) -> tuple[int, str]:
    """Choose the year; the second value is a note on the reason if it is not certain.

    Raises
    ------
    DatasetError
        Folders of more than one year, a given year that the
        folder contradicts, and a folder that fits several years.
    """
    possible = frozenset(CHALLENGES)
    for machine in evidence:
        if _is_mixed(machine):
            raise _mixed(root, evidence)
        possible &= _years(machine, given)
    if not possible:
        raise _mixed(root, evidence)
    if given is not None:
        if given not in possible:
            raise _contradicted(root, given, possible)
        return given, ""
    if len(possible) == 1:
        return next(iter(possible)), ""
    recorded = recorded_year(root)
    if recorded in possible:
        return recorded, ""
    return _most_likely(root, evidence, possible)


def _years(machine: LayoutEvidence, given: int | None) -> frozenset[int]:
    """Return every year whose archives could look like a machine's folder.

    Each sign in turn excludes the years that lack it, unless none would remain.
    """
    fitting = [each for each in CHALLENGES.values() if _has_form(each, machine)]
    signs: list[Callable[[Challenge], bool]] = [
        lambda each: machine.machine in each.machines,
        lambda each: not machine.hides_attributes or bool(each.hidden_attributes),
        lambda each: (
            machine.hides_attributes is None
            or machine.hides_attributes == (machine.machine in each.hidden_attributes)
        ),
        lambda each: (
            machine.repeats_key is None
            or machine.repeats_key == (machine.machine in each.repeated_keys)
        ),
        lambda each: not machine.supplemental or machine.supplemental == each.supplemental,
        lambda each: bool(machine.folder_names & each.exceptional_archives),
        lambda each: _has_numbers(each, machine),
    ]
    for sign in signs:
        fitting = [each for each in fitting if sign(each)] or fitting
    if len({each.channels for each in fitting}) > 1 and machine.channels is not None:
        # A copy of the first channel alone is still of its year if the user says so.
        is_given = [each for each in fitting if each.year == given and machine.channels == 1]
        fitting = is_given or [
            each for each in fitting if (each.channels > 1) == (machine.channels > 1)
        ]
    return frozenset(each.year for each in fitting)


def _has_form(challenge: Challenge, machine: LayoutEvidence) -> bool:
    """Return whether form of names, sections and folders are those of a challenge."""
    word = _section_word(machine)
    if challenge.section_word != word:
        return False
    if word == "id":
        return True
    if challenge.single_section and machine.sections != {"section_00"}:
        return False
    if machine.test_folders:
        return machine.test_folders <= set(challenge.test_folders)
    return challenge.attribute_lists or not machine.has_attribute_list


def _has_numbers(challenge: Challenge, machine: LayoutEvidence) -> bool:
    """Return whether the numbers of training clips are those of a challenge with one section."""
    last = machine.last_index["source"]
    if not challenge.single_section or last < 0:
        return True
    first = challenge.numbers_of(machine.machine).first_train
    return (
        machine.first_index["source"] >= first and last < first + challenge.training_clips["source"]
    )


def _section_word(machine: LayoutEvidence) -> str:
    few = not machine.sectioned or machine.sectioned < _STRAY_SHARE * machine.ids
    return "id" if few else "section"


def _is_mixed(machine: LayoutEvidence) -> bool:
    """Return whether names of both forms are more than a few stray files."""
    few, many = sorted((machine.ids, machine.sectioned))
    return few > _STRAY_SHARE * many


def _most_likely(
    root: Path, evidence: Sequence[LayoutEvidence], possible: frozenset[int]
) -> tuple[int, str]:
    single = sorted(year for year in possible if CHALLENGES[year].single_section)
    is_official = any(m.machine in CHALLENGES[year].machines for m in evidence for year in possible)
    if single and not is_official:
        reason = "no machine here is of a challenge, and there is no section but 00"
        return single[0], f"read as DCASE {single[0]}, because {reason}; --year overrides this"
    if len(single) == 1:
        reason = "there is no section but 00; --year overrides this"
        return single[0], f"read as DCASE {single[0]}, because {reason}"
    if single:
        raise _ambiguous(
            root,
            single,
            "the whole development set, or a folder supplemental next to train, would",
        )
    domains: tuple[Domain, ...] = ("target", "source")
    for domain in domains:
        last = max(machine.last_index[domain] for machine in evidence)
        counts = {year: CHALLENGES[year].training_clips[domain] for year in possible}
        most = max(counts.values())
        fitting = [year for year, count in counts.items() if last < count or count == most]
        if len(fitting) == 1:
            usual = max(count for count in counts.values() if count < most)
            reason = f"more than {usual} training clips in domain {domain}"
            return fitting[0], f"read as DCASE {fitting[0]}, because of {reason}"
    raise _ambiguous(root, sorted(possible), "test clips or attributes_<SS>.csv would")


def _ambiguous(root: Path, years: Sequence[int], hint: str) -> DatasetError:
    listed = ", ".join(map(str, years[:-1]))
    msg = (
        f"{root}: the names fit DCASE {listed} and {years[-1]}, and nothing here distinguishes "
        f"them ({hint}); give the year with --year"
    )
    return DatasetError(msg)


def _mixed(root: Path, evidence: Sequence[LayoutEvidence]) -> DatasetError:
    with_ids = {year for year, challenge in CHALLENGES.items() if challenge.section_word == "id"}
    groups: dict[str, Path] = {}
    for machine in evidence:
        years = _years(machine, None) | with_ids if _is_mixed(machine) else _years(machine, None)
        name = " or ".join(str(year) for year in sorted(years)) or "more than one year"
        groups.setdefault(name, machine.parent)
    listing = "; ".join(f"{name}: {path}" for name, path in sorted(groups.items()))
    msg = (
        f"{root}: expected the clips of one year, found names of several ({listing}); "
        "open one year's folder"
    )
    return DatasetError(msg)


def _contradicted(root: Path, given: int, possible: frozenset[int]) -> DatasetError:
    years = " or ".join(str(year) for year in sorted(possible))
    msg = f"{root}: opened as DCASE {given}, but folders and names are those of {years}"
    return DatasetError(msg)
