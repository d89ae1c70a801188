"""Prometheus: the monitor's series and status over HTTP."""
