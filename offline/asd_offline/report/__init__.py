"""Report of a replay: one HTML page without external resources."""

from asd_offline.report.writer import write_report

__all__ = ["write_report"]
