"""Calibration: scores of normal sound to p-values, thresholds and a normal range."""

from asd_monitor.calibration.calibration import Calibration

__all__ = ["Calibration"]
