"""Datasets of machine sounds: the DCASE Task 2 years, and recordings of one's own."""

from asd_offline.datasets.challenge import Year
from asd_offline.datasets.clip import (
    ANOMALY,
    NORMAL,
    Clip,
    Dataset,
    Domain,
    Rejected,
    Split,
    Subset,
)
from asd_offline.datasets.loading import open_dataset
from asd_offline.datasets.registry import YEARS

__all__ = [
    "ANOMALY",
    "NORMAL",
    "YEARS",
    "Clip",
    "Dataset",
    "Domain",
    "Rejected",
    "Split",
    "Subset",
    "Year",
    "open_dataset",
]
