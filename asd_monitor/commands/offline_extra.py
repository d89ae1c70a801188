"""Check that the packages of the ``offline`` extra are installed."""

from collections.abc import Iterable
from importlib.util import find_spec

from asd_monitor.errors import ConfigError

PACKAGES = {
    "PIL": "pillow",
    "matplotlib": "matplotlib",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
}
"""Modules of the extra, and the package that each belongs to."""
WITH_TORCH = {**PACKAGES, "torch": "torch"}


def require_offline(command: str, modules: Iterable[str] = tuple(WITH_TORCH)) -> None:
    """Raise ConfigError if a module that a command needs is not installed.

    Commands call this before anything else, so that no work is lost.

    Parameters
    ----------
    command
        The command as the user knows it, such as ``train``.
    modules
        Modules that it needs, keys of :data:`WITH_TORCH`; all by default.
    """
    missing = [WITH_TORCH[module] for module in modules if find_spec(module) is None]
    if missing:
        msg = (
            f"{command} needs packages that are not installed: {', '.join(missing)}; "
            "install them with: pip install 'asd-monitor[offline]'"
        )
        raise ConfigError(msg)
