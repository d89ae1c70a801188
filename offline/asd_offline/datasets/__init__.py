"""Datasets of machine sounds: the DCASE Task 2 challenges and your own recordings.

To add a year, see :mod:`asd_offline.datasets.layouts`.
"""

from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.clip import (
    ANOMALY,
    NORMAL,
    Clip,
    Dataset,
    Domain,
    Rejected,
    Split,
    Subset,
    SupplementalClip,
)
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.loading import open_dataset

__all__ = [
    "ANOMALY",
    "CHALLENGES",
    "NORMAL",
    "Challenge",
    "Clip",
    "Dataset",
    "Domain",
    "Rejected",
    "Split",
    "Subset",
    "SupplementalClip",
    "open_dataset",
]
