"""The result of parsing the file name of a challenge's clip."""

from dataclasses import dataclass

from asd_offline.datasets.clip import ANOMALY, NORMAL, Domain, Split

LABELS = {"normal": NORMAL, "anomaly": ANOMALY}
"""Labels by the words that file names use."""


class UnrecognisedFileName(ValueError):  # noqa: N818 - a finding, reported as a reason
    """A file name that is not one of the challenge's; the message is the reason."""


@dataclass(frozen=True, slots=True)
class ParsedName:
    """Fields of a clip that its file name and its folder show."""

    section: str
    domain: Domain
    split: Split
    label: int | None
    index: int
    """Running number within its group."""
    attributes: tuple[tuple[str, str], ...] = ()
