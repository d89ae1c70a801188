"""Band levels are calibrated; statistics of normal sound survive their model file."""

import json

import numpy as np
import pytest

from asd_monitor.normal_sound.band_levels import BandFrames, band_edges_hz
from asd_monitor.normal_sound.statistics import NormalSound


@pytest.mark.parametrize("frequency_hz", [100.0, 997.0, 5000.0])
def test_a_full_scale_sine_has_a_level_of_0_db(frequency_hz: float) -> None:
    time_s = np.arange(32_000) / 16_000
    sine = np.sin(2 * np.pi * frequency_hz * time_s).astype(np.float32)
    levels = BandFrames.of(sine, 16_000).mean_db()
    assert 10 * np.log10((10 ** (levels / 10)).sum()) == pytest.approx(0, abs=0.1)
    edges = band_edges_hz(16_000)
    strongest = int(levels.argmax())
    assert edges[strongest] * 0.9 <= frequency_hz <= edges[strongest + 1] * 1.1


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 44_100, 96_000])
def test_bands_cover_the_spectrum_without_gaps(rate_hz: int) -> None:
    edges = np.array(band_edges_hz(rate_hz))
    assert edges[0] == 30
    assert edges[-1] == rate_hz / 2
    assert (np.diff(edges) >= 15.6).all()
    assert (edges[1:] / edges[:-1] < 1.6).all()


def make_normal() -> NormalSound:
    rng = np.random.default_rng(0)
    windows = [(0.01 * rng.standard_normal(16_000)).astype(np.float32) for _ in range(10)]
    return NormalSound.fit(windows, 16_000, 1.0)


def test_statistics_survive_json() -> None:
    normal = make_normal()
    restored = NormalSound.from_dict(json.loads(json.dumps(normal.to_dict())))
    assert restored is not None
    np.testing.assert_allclose(restored.mean.median_db, normal.mean.median_db, atol=0.01)
    np.testing.assert_allclose(restored.peak.high_db, normal.peak.high_db, atol=0.01)
    assert (restored.windows, restored.window_s) == (10, 1.0)


def test_statistics_of_another_version_are_not_used() -> None:
    assert NormalSound.from_dict({**make_normal().to_dict(), "version": 2}) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("windows", 0),
        ("window_s", "long"),
        ("sample_rate_hz", None),
        ("edges_hz", [1.0, 2.0]),
        ("mean", {"low_db": []}),
        ("peak", None),
    ],
)
def test_damaged_statistics_are_refused(key: str, value: object) -> None:
    values = {**make_normal().to_dict(), key: value}
    with pytest.raises(ValueError, match="expected"):
        NormalSound.from_dict(values)
