"""What the offline commands need beyond the daemon."""

from importlib.util import find_spec

from asd_monitor.errors import ConfigError

PACKAGES = ("torchaudio", "sklearn", "scipy", "matplotlib")


def require_offline(command: str) -> None:
    """Raise ConfigError if a package of the ``offline`` extra is missing."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        msg = (
            f"{command} needs the offline half (missing: {', '.join(missing)}); install it with "
            "pip install 'asd-monitor[offline]'"
        )
        raise ConfigError(msg)
