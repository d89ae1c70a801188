"""Acoustic condition monitoring: from a microphone to an anomaly score and an alarm.

Importing this package imports neither torch nor sounddevice.
"""

__version__ = "0.1.0"
