"""The files of an installation: configuration, systemd unit, Prometheus, Grafana, mosquitto.

Their source is ``configs/`` and ``systemd/`` in the repository. The build hook copies them into the
wheel, so that ``asd-monitor init`` can write them without a checkout.
"""
