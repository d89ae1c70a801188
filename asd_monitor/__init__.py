"""Acoustic condition monitoring: from a microphone to an anomaly score and an alarm.

Importing this package imports neither torch nor sounddevice.
"""

import os

# Else onnxruntime makes a device id when it is imported, and sends usage data to its maker.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
