"""The grammar of clip names with sections and domains, which 2021, 2022 and 2023 share."""

import re
from dataclasses import dataclass
from typing import cast

from asd_offline.datasets.challenge import UnrecognisedFileName
from asd_offline.datasets.clip import ANOMALY, NORMAL, Domain, Split

FULL = re.compile(
    r"(section_\d{2,})_(source|target)_(train|test)_(?:(normal|anomaly)_)?(\d+)(?:_(.+))?\.wav",
    re.IGNORECASE | re.ASCII,
)
BARE = re.compile(r"(section_\d{2,})_(\d+)\.wav", re.IGNORECASE | re.ASCII)
LABELS = {"normal": NORMAL, "anomaly": ANOMALY}


@dataclass(frozen=True, slots=True)
class SectionName:
    """The parts of one name; empty or None where the name does not say."""

    section: str
    domain: Domain
    split: Split | None
    label: int | None
    index: int
    tail: str
    """What follows the number: the attributes, not yet taken apart."""


def read(name: str) -> SectionName:
    """Take a name apart; raises UnrecognisedFileName for any other."""
    if match := FULL.fullmatch(name):
        section, domain, split, word, digits, tail = match.groups()
        return SectionName(
            section=section.lower(),
            domain=cast("Domain", domain.lower()),
            split=cast("Split", split.lower()),
            label=LABELS[word.lower()] if word else None,
            index=int(digits),
            tail=tail or "",
        )
    if match := BARE.fullmatch(name):
        return SectionName(match[1].lower(), "", None, None, int(match[2]), "")
    msg = "expected a name such as section_00_source_train_normal_0000.wav"
    raise UnrecognisedFileName(msg)


def attribute_pairs(tail: str) -> tuple[tuple[str, str], ...]:
    """Split ``car_A1_spd_28V`` into pairs; a tail of an odd number of words stays whole.

    >>> attribute_pairs("pat_04_panel_bs-c")
    (('pat', '04'), ('panel', 'bs-c'))
    """
    if not tail:
        return ()
    words = tail.split("_")
    if len(words) % 2:
        return (("condition", tail),)
    return tuple(zip(words[::2], words[1::2], strict=True))


def check_training(parts: SectionName) -> None:
    """Refuse whatever must not be trained on."""
    if parts.split != "train":
        msg = "a test clip in train/, and no test clip may be trained on"
        raise UnrecognisedFileName(msg)
    if parts.label != NORMAL:
        msg = "only ..._train_normal_... belongs in train/, and no other clip may be trained on"
        raise UnrecognisedFileName(msg)
