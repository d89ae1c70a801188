"""The rates of the learned recordings are known after a restart."""

import json
from pathlib import Path

import pytest

from asd_monitor.runtime.recorded_rates import FILE_NAME, RecordedRates


def test_rates_are_known_after_a_restart(tmp_path: Path) -> None:
    RecordedRates(tmp_path).add([48_000, None])
    rates = RecordedRates(tmp_path)
    rates.add([16_000])
    assert RecordedRates(tmp_path).rates_hz == [16_000, 48_000]
    assert json.loads((tmp_path / FILE_NAME).read_text()) == [16_000, 48_000]


@pytest.mark.parametrize("content", ["", "{}", '["48000", true]'])
def test_a_damaged_file_means_that_no_rate_is_known(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    assert RecordedRates(tmp_path).rates_hz == []


def test_rates_that_cannot_be_written_are_kept_in_memory(tmp_path: Path) -> None:
    rates = RecordedRates(tmp_path / "missing")
    rates.add([48_000])
    assert rates.rates_hz == [48_000]
