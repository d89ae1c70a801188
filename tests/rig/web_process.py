"""The web page in a process of its own, which can be killed."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rig.paths import ROOT
from tests.rig.ports import free_port

CODE = """
import sys, tempfile, time
from pathlib import Path
from tests.rig.web_site import web_site
with tempfile.TemporaryDirectory() as folder, web_site(Path(folder), port=int(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(600)
"""


@contextmanager
def killed_and_started_again(
    folder: Path,
) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """Yield the URL of a page, and functions that kill it by SIGKILL and start it again."""
    port, processes = free_port(), list[subprocess.Popen[bytes]]()

    def start() -> None:
        process = subprocess.Popen(
            [sys.executable, "-c", CODE, str(port)], cwd=ROOT, stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(sys.path), "TMPDIR": str(folder), "PATH": "/usr/bin"},
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"

    def kill() -> None:
        processes[-1].send_signal(signal.SIGKILL)
        processes[-1].wait()

    start()
    try:
        yield f"http://127.0.0.1:{port}", kill, start
    finally:
        for process in processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
