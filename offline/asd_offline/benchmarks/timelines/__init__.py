"""Measure false alarms and detections of the live alarm on timelines.

Run ``python -m asd_offline.benchmarks.timelines recordings FOLDER``, ``... pump`` or ``... weeks``.
Windows are scored once, and their scores are put together to many streams, which pass through the
alarm of the live monitor.
"""
