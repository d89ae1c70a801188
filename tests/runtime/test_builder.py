"""The monitor's construction from its settings."""

from pathlib import Path

import pytest

from asd_monitor.config import from_options
from asd_monitor.errors import ModelFileError
from asd_monitor.model_file import load
from asd_monitor.runtime.detectors import make_detector
from tests.rig.toy_model import save_toy


def test_a_model_without_thresholds_is_refused_for_monitoring(tmp_path: Path) -> None:
    path = save_toy(tmp_path / "bare.asd", {"calibrations": {}, "thresholds": {}})
    config = from_options({"machines": {"pump": {"mic": 0}}})
    with pytest.raises(ModelFileError, match="neither calibration nor threshold for target 'pump'"):
        make_detector(config, load(path, "cpu"), ["pump"])
