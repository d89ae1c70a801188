"""The grammar of clip names with machine ids, used in 2020 and by commissioning."""

import re
from dataclasses import dataclass

from asd_offline.datasets.parsed_name import LABELS, UnrecognisedFileName

LABELLED_NAME = "{label}_{section}_{index:08d}.wav"
ANONYMOUS_NAME = "{section}_{index:08d}.wav"

_NAME = re.compile(r"(?:(normal|anomaly)_)?(id_\d{2,})_(\d+)\.wav", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class IdName:
    """The parts of one name; ``label`` is None where the name does not show it."""

    section: str
    label: int | None
    index: int


def parse_id_name(name: str) -> IdName:
    """Split a name into its parts; raises UnrecognisedFileName for any other."""
    match = _NAME.fullmatch(name)
    if match is None:
        msg = "expected a name such as normal_id_00_00000000.wav"
        raise UnrecognisedFileName(msg)
    word, section, digits = match.groups()
    return IdName(section.lower(), LABELS[word.lower()] if word else None, int(digits))
