"""Telemetry: the Prometheus series, a snapshot of the monitor's status, the summary of a run."""
