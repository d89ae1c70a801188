"""Missing standard streams and a stderr that cannot be written to do not end the program."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"{sys.executable} -m asd_monitor.cli"


@pytest.mark.parametrize("streams", ["2>&-", "2>&- >&-", "2>/dev/full", "<&- 2>&-"])
def test_the_command_goes_on_without_a_stream(tmp_path: Path, streams: str) -> None:
    missing = tmp_path / "none.yaml"
    for arguments, code in (("--version", 0), (f"check {missing}", 2)):
        done = subprocess.run(f"{COMMAND} {arguments} {streams}", shell=True, timeout=400)  # noqa: S602
        assert done.returncode == code


def test_errors_are_still_written_to_stderr(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND.split(), "check", str(tmp_path / "none.yaml")],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 2
    assert "none.yaml: cannot be read" in done.stderr


def test_a_monitor_whose_stderr_has_no_reader_ends_with_success(tmp_path: Path) -> None:
    script = (
        "import sys, os\n"
        "from asd_monitor.terminal.streams import set_up_streams\n"
        "set_up_streams()\n"
        "input()\n"
        "for _ in range(3):\n"
        "    sys.stderr.write('summary\\n')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stderr.close()
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(400) == 0
