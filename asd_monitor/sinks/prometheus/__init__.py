"""The HTTP endpoint: the monitor's series for Prometheus and its status.

The pages are in :mod:`asd_monitor.sinks.prometheus.pages`.
"""
