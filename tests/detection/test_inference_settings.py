"""How many threads score."""

import pytest

from asd_monitor.config import from_options
from asd_monitor.detection import inference_settings
from asd_monitor.detection.inference_settings import InferenceSettings
from asd_monitor.errors import ConfigError


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 2), (4, 4), (64, 4)])
def test_by_default_there_is_a_thread_for_each_core_but_at_most_four(
    monkeypatch: pytest.MonkeyPatch, cores: int, expected: int
) -> None:
    monkeypatch.setattr(inference_settings, "available_cores", lambda: cores)
    assert InferenceSettings().count_workers() == expected
    assert InferenceSettings(workers=3).count_workers() == 3


@pytest.mark.parametrize("workers", [0, 33, -1, "many", 1.5])
def test_another_number_is_refused_with_what_is_expected(workers: object) -> None:
    with pytest.raises(ConfigError, match=r"expected a number of threads from 1 to 32, or auto"):
        from_options({"inference": {"workers": workers}})
