"""Without a web page, nothing of it is loaded."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from tests.rig.toy_model import RATE_HZ, save_toy

CODE = """
import sys, threading
from asd_monitor.config import from_options
from asd_monitor.runtime.builder import build_monitor
from asd_monitor.runtime.serve import serve
wav = {"paths": [sys.argv[1] + "/a.wav"], "paced": False}
machine = {"wav": wav, "model": sys.argv[1] + "/toy.asd", "target": "pump"}
settings = {"machines": {"pump": machine}, "mqtt": None, "prometheus": None,
            "state_dir": sys.argv[1] + "/state"}
if sys.argv[2] == "off":
    settings["web"] = None
else:
    settings["web"] = {"port": 0}
serve(build_monitor(from_options(settings)), threading.Event(), environ={})
names = ("starlette", "uvicorn", "jinja2", "h11", "anyio", "asd_monitor.web.service")
print([name for name in names if name in sys.modules])
"""


def loaded(folder: Path, web: str) -> str:
    command = [sys.executable, "-c", CODE, str(folder), web]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=True)
    return done.stdout.strip()


def test_a_page_that_is_off_is_not_imported(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE_HZ), RATE_HZ)
    save_toy(tmp_path / "toy.asd")
    assert loaded(tmp_path, "off") == "[]"
    assert "asd_monitor.web.service" in loaded(tmp_path, "on")
