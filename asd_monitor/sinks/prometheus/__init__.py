"""Prometheus: the series of :mod:`asd_monitor.telemetry` over HTTP."""
