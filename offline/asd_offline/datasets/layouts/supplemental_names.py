"""File names of supplemental clips: the machine without noise, or noise without the machine."""

import re
from dataclasses import dataclass
from typing import cast

from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.clip import Domain, SupplementalContent
from asd_offline.datasets.parsed_name import UnrecognisedFileName

_NAME = re.compile(
    r"(section_\d{2,})_([A-Za-z]+(?:_[A-Za-z]+)*)_(\d+)(?:_(.*))?\.wav", re.IGNORECASE | re.ASCII
)
_CONTENTS = frozenset({"machine", "noise"})
_DOMAINS = ("source", "target")


@dataclass(frozen=True, slots=True)
class SupplementalName:
    """Fields that the name of a supplemental clip shows."""

    section: str
    content: SupplementalContent
    domain: Domain
    """Empty if the name does not give it."""
    attributes: tuple[tuple[str, str], ...]


def parse_supplemental_name(name: str, challenge: Challenge) -> SupplementalName:
    """Parse a file name; raises UnrecognisedFileName for any other.

    The words before the number are not the same in all accounts of the data; exactly one of
    ``machine`` and ``noise`` is among them.
    """
    match = _NAME.fullmatch(name)
    words = match[2].lower().split("_") if match else []
    contents = _CONTENTS & set(words)
    if match is None or len(contents) != 1:
        msg = "expected a name such as section_00_machine_source_0000.wav or section_00_noise_..."
        raise UnrecognisedFileName(msg)
    section, tail = match[1].lower(), match[4]
    domains = [word for word in words if word in _DOMAINS]
    named = f"{section}_source_train_normal_0000_{tail}.wav"
    return SupplementalName(
        section,
        cast("SupplementalContent", next(iter(contents))),
        cast("Domain", domains[0] if len(domains) == 1 else ""),
        challenge.parse("train", named).attributes if tail else (),
    )
