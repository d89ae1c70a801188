"""The grammar of clip names with sections and domains, used since 2021."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from asd_offline.datasets.clip import NORMAL, Domain, Split
from asd_offline.datasets.parsed_name import LABELS, ParsedName, UnrecognisedFileName

TRAIN_NAME = "{section}_{domain}_train_{label}_{index:04d}{tail}.wav"
TEST_NAME = "{section}_{domain}_test_{label}_{index:04d}{tail}.wav"
ANONYMOUS_NAME = "{section}_{index:04d}.wav"

Attributes = tuple[tuple[str, str], ...]

_FULL = re.compile(
    r"(section_\d{2,})_(source|target)_(train|test)_(?:(normal|anomaly)_)?(\d+)(?:_(.*))?\.wav",
    re.IGNORECASE | re.ASCII,
)
_ANONYMOUS = re.compile(r"(section_\d{2,})_(\d+)\.wav", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class SectionName:
    """The parts of one name; empty or None where the name does not show them."""

    section: str
    domain: Domain
    split: Split | None
    label: int | None
    index: int
    tail: str
    """What follows the number: the attributes, not yet split."""


def parse_section_name(name: str) -> SectionName:
    """Split a name into its parts; raises UnrecognisedFileName for any other."""
    if match := _FULL.fullmatch(name):
        section, domain, split, word, digits, tail = match.groups()
        return SectionName(
            section=section.lower(),
            domain=cast("Domain", domain.lower()),
            split=cast("Split", split.lower()),
            label=LABELS[word.lower()] if word else None,
            index=int(digits),
            tail=tail or "",
        )
    if match := _ANONYMOUS.fullmatch(name):
        return SectionName(match[1].lower(), "", None, None, int(match[2]), "")
    msg = "expected a name such as section_00_source_train_normal_0000.wav"
    raise UnrecognisedFileName(msg)


def attribute_pairs(tail: str) -> tuple[tuple[str, str], ...]:
    """Split ``car_A1_spd_28V`` into pairs; a tail of an odd number of words stays in one piece.

    >>> attribute_pairs("pat_04_panel_bs-c")
    (('pat', '04'), ('panel', 'bs-c'))
    """
    if not tail:
        return ()
    words = tail.split("_")
    if len(words) % 2:
        return (("condition", tail),)
    return tuple(zip(words[::2], words[1::2], strict=True))


def parse_section_clip(
    folder: str, name: str, attributes_of: Callable[[str], Attributes]
) -> ParsedName:
    """Parse the name of a clip in ``train`` or ``test``.

    ``attributes_of`` splits the tail of a name. Raises UnrecognisedFileName for any other name.
    """
    parts = parse_section_name(name)
    attributes = attributes_of(parts.tail)
    if folder == "train":
        check_training(parts)
        return ParsedName(parts.section, parts.domain, "train", NORMAL, parts.index, attributes)
    if folder != "test":
        msg = f"{folder}/ is not a folder of 2022 and later: expected train/ or test/"
        raise UnrecognisedFileName(msg)
    if parts.split == "train":
        msg = "a training clip in test/"
        raise UnrecognisedFileName(msg)
    return ParsedName(parts.section, parts.domain, "test", parts.label, parts.index, attributes)


def require_single_section(parsed: ParsedName, year: int) -> ParsedName:
    """Raise UnrecognisedFileName for a section other than 00, which is the only one of a year."""
    if parsed.section != "section_00":
        msg = f"{parsed.section} in {year}, where every machine has section_00 only"
        raise UnrecognisedFileName(msg)
    return parsed


def check_training(parts: SectionName) -> None:
    """Raise UnrecognisedFileName for a clip that must not be trained on."""
    if parts.split != "train":
        msg = "a test clip in train/, and no test clip may be trained on"
        raise UnrecognisedFileName(msg)
    if parts.label != NORMAL:
        msg = "only ..._train_normal_... belongs in train/, and no other clip may be trained on"
        raise UnrecognisedFileName(msg)
