"""Comparison: several models on one dataset by the same fixed rule, over several seeds."""

from asd_offline.comparison.run import compare
from asd_offline.comparison.settings import CompareSettings
from asd_offline.comparison.summary import Comparison

__all__ = ["CompareSettings", "Comparison", "compare"]
