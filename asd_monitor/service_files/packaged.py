"""The files as they are in the wheel, or in the repository."""

from importlib.resources import files
from pathlib import Path

from asd_monitor.errors import ConfigError

EXAMPLE = "monitor.yaml"
UNIT = "systemd/asd-monitor@.service"
FILES = (
    EXAMPLE,
    UNIT,
    "prometheus/prometheus.yml",
    "prometheus/rules/asd-monitor.rules.yaml",
    "grafana/provisioning/datasources/asd-monitor.yaml",
    "grafana/provisioning/dashboards/asd-monitor.yaml",
    "grafana/provisioning/dashboards/asd-monitor/asd-monitor.json",
    "grafana/provisioning/alerting/rules.yaml",
    "grafana/provisioning/alerting/contact-points.yaml",
    "grafana/provisioning/alerting/policies.yaml",
    "mosquitto/mosquitto.conf",
    "mosquitto/acl",
)
"""Every file, below the folder of the wheel and, but for the unit, below ``configs/``."""


def list_packaged() -> tuple[str, ...]:
    """Return the files that are written unchanged."""
    return tuple(name for name in FILES if name not in (EXAMPLE, UNIT))


def source_of(root: Path, name: str) -> Path:
    """Return where a file is in the repository."""
    return root / name if name == UNIT else root / "configs" / name


def read_packaged(name: str) -> str:
    """Return the text of a file of :data:`FILES`.

    Raises
    ------
    ConfigError
        If the installation lacks it.
    """
    in_wheel = files("asd_monitor") / "service_files" / "data" / name
    if in_wheel.is_file():
        return in_wheel.read_text("utf-8")
    path = source_of(Path(__file__).parents[2], name)
    if path.is_file():
        return path.read_text("utf-8")
    msg = f"expected the file {name} in the installed package, found none; install it again"
    raise ConfigError(msg)
