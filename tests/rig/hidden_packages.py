"""Start Python programs that cannot import certain packages, as if these were not installed."""

import os
from collections.abc import Iterable
from pathlib import Path

SITECUSTOMIZE = '''
import sys

HIDDEN = {hidden!r}


class HidingFinder:
    """Find what another finder finds, except the hidden packages."""

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            return None
        return self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = [HidingFinder(finder) for finder in sys.meta_path]
'''


def environment_without(packages: Iterable[str], folder: Path) -> dict[str, str]:
    """Return an environment in which Python, and its child processes, lack these packages.

    Parameters
    ----------
    packages
        Names as they are imported.
    folder
        An empty folder, for the module that Python loads at its start.
    """
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(hidden=sorted(packages)))
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}
