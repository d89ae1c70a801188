"""How a running monitor takes signals."""

import signal
import subprocess
import sys

import pytest

TWICE = """
import os, time
from asd_monitor.daemon import stop_signals

with stop_signals() as stop:
    os.kill(os.getpid(), {number})
    print(stop.wait(20), flush=True)
    if {times} == 2:
        os.kill(os.getpid(), {number})
        time.sleep(60)
print("tidied up", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_is_a_request_and_a_second_an_order(number: signal.Signals) -> None:
    def run(times: int) -> "subprocess.CompletedProcess[str]":
        code = TWICE.format(number=int(number), times=times)
        return subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False
        )

    once, twice = run(1), run(2)
    assert (once.returncode, once.stdout) == (0, "True\ntidied up\n")
    assert (twice.returncode, twice.stdout, twice.stderr) == (-number, "True\n", "")
