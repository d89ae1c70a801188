"""onnxruntime collects no usage data, which it does if it is imported by itself."""

import os
import subprocess
import sys
from pathlib import Path


def test_onnxruntime_makes_no_device_id_and_collects_nothing(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    variables |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-c", "import asd_monitor, onnxruntime"]
    subprocess.run(command, env=variables, check=True)
    assert not list(tmp_path.rglob("*"))
