"""A machine is monitored at the rate at which it was learned, up to the microphone's own."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from asd_monitor import model_file, quickstart
from asd_monitor.config import Config, from_options
from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.errors import ConfigError
from asd_monitor.records import FloatArray, State
from asd_monitor.runtime.learning_rate import check_earlier_recordings, learning_rate_hz
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sources.microphone.devices import Microphone
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound
from tests.runtime.test_machine_addition import running, wait_until

RATE_HZ = 48_000
LEARNED_S = 40


def pump(start_s: int, seconds: int) -> FloatArray:
    return np.asarray(PumpSound(3, RATE_HZ).block(start_s * RATE_HZ, seconds * RATE_HZ, 0.0))


def add_leak(sound: FloatArray) -> FloatArray:
    """Add noise from 12 to 20 kHz, 30 dB below the sound."""
    spectrum = np.fft.rfft(np.random.default_rng(1).normal(size=len(sound)))
    frequency_hz = np.fft.rfftfreq(len(sound), 1 / RATE_HZ)
    spectrum[(frequency_hz < 12_000) | (frequency_hz > 20_000)] = 0
    noise = np.fft.irfft(spectrum, len(sound))
    return np.asarray(sound + noise * (0.03 * sound.std() / noise.std()), np.float32)


def add_ringing(sound: FloatArray) -> FloatArray:
    """Add bursts of 15 kHz, five a second."""
    time_s = np.arange(len(sound)) / RATE_HZ
    burst = np.exp(-(time_s % 0.2) / 0.01) * np.sin(2 * np.pi * 15_000 * time_s)
    return np.asarray(sound + 0.2 * sound.std() * burst, np.float32)


def as_pcm(sound: FloatArray) -> np.ndarray:
    return np.rint(32767 * np.clip(sound, -1, 1)).astype(np.int16)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models of the same pump, learned at 48 and at 16 kHz."""
    folder = tmp_path_factory.mktemp("models")
    learned = as_pcm(pump(0, LEARNED_S)).astype(np.float32) / 32768
    for name, rate_hz in (("high", RATE_HZ), ("low", 16_000)):
        sound = soxr.resample(learned, RATE_HZ, rate_hz, quality="HQ")
        recording = quickstart.Recording("normal", sound)
        fitted = quickstart.fit([recording], target=name, sample_rate_hz=rate_hz, window_s=2)
        model_file.save(
            folder / f"{name}.asd", fitted.module, fitted.manifest,
            normal_sound=fitted.normal_sound,
        )  # fmt: skip
    return folder


@pytest.mark.real_time
@pytest.mark.parametrize("add_fault", [add_leak, add_ringing])
def test_a_fault_above_8_khz_raises_the_alarm_at_48_khz_and_not_at_16_khz(
    add_fault: object, tmp_path: Path, models: Path, virtual_microphones: MakeMicrophones
) -> None:
    assert callable(add_fault)
    sound = pump(LEARNED_S, 20)
    mics = virtual_microphones(
        high=VirtualSound(as_pcm(sound), RATE_HZ), low=VirtualSound(as_pcm(sound), RATE_HZ)
    )
    machines = {
        name: {"mic": {"device": name, "latency_s": 0.3}, "model": str(models / f"{name}.asd")}
        for name in mics
    }
    settings = {
        "machines": machines, "alarm": {"min_duration_s": 4}, "state_dir": str(tmp_path / "state"),
        "mqtt": None, "prometheus": None, "web": None,
    }  # fmt: skip
    with running(from_options(settings)) as (_, collected):
        wait_until(lambda: len(collected.windows("low")) and len(collected.windows("high")))
        for mic in mics.values():
            mic.replace_sound(as_pcm(add_fault(sound)))
        wait_until(lambda: State.ALARM in collected.states("high"))
        scored = len(collected.windows("low"))
        wait_until(lambda: len(collected.windows("low")) > scored)
    assert State.ALARM not in collected.states("low")


MICROPHONE = Microphone(0, "USB Audio", "ALSA", 1, 44_100, (44_100, 48_000), "usb", False)
"""A sound card as PortAudio lists most of them."""


def settings_of(rate: object, source: dict[str, object]) -> Config:
    return from_options({"machines": {"pump": source}, "learn": {"sample_rate_hz": rate}})


def save_earlier(state: StateFolder, rate_hz: int) -> None:
    folder = state.make(state.recordings_path("pump"))
    soundfile.write(folder / "normal_id_00_00000000.wav", np.zeros(rate_hz), rate_hz)


@pytest.mark.parametrize(
    ("setting", "expected_hz"),
    [(16_000, 16_000), (22_050, 22_050), ("auto", 48_000), ("96000", 96_000)],
)
def test_the_settings_name_the_rate_or_leave_it_to_the_microphone(
    setting: object, expected_hz: int, tmp_path: Path
) -> None:
    config = settings_of(setting, {"mic": "usb"})
    assert learning_rate_hz(config, StateFolder(tmp_path), "pump", MICROPHONE) == expected_hz


@pytest.mark.parametrize("rate", [4000, 200_000, "44.1k", "all", 44.5, -48_000])
def test_a_rate_that_is_none_is_refused(rate: object) -> None:
    with pytest.raises(ConfigError, match=r"sample_rate_hz: expected (a number of Hz|a whole)"):
        settings_of(rate, {"mic": "usb"})


def test_recordings_are_learned_at_most_at_the_lowest_of_their_rates(tmp_path: Path) -> None:
    for rate_hz in (48_000, 96_000):
        soundfile.write(tmp_path / f"{rate_hz}.wav", np.zeros(rate_hz), rate_hz)
    config = settings_of("auto", {"wav": str(tmp_path)})
    assert learning_rate_hz(config, StateFolder(tmp_path / "state"), "pump", None) == 48_000


def test_the_rate_of_earlier_recordings_is_kept(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    save_earlier(state, 16_000)
    config = settings_of("auto", {"mic": "usb"})
    assert learning_rate_hz(config, state, "pump", MICROPHONE) == 16_000


def test_earlier_recordings_without_the_high_frequencies_are_refused(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)
    save_earlier(state, 16_000)
    check_earlier_recordings(state, "pump", 16_000)
    with pytest.raises(ConfigError, match=r"1 earlier ones at 16000 Hz .* nothing above 8 kHz"):
        check_earlier_recordings(state, "pump", 48_000)


@pytest.mark.parametrize(("has_leak", "chosen_hz"), [(False, 16_000), (True, 48_000)])
def test_auto_learns_and_monitors_at_the_rate_that_the_first_minute_needs(
    has_leak: bool, chosen_hz: int, tmp_path: Path
) -> None:
    pump = soxr.resample(PumpSound(3, 16_000).block(0, 45 * 16_000, 0.0), 16_000, RATE_HZ)
    sound = pump + 1e-4 * np.random.default_rng(2).normal(size=len(pump))
    if has_leak:
        sound = add_leak(sound)
    soundfile.write(tmp_path / "pump.wav", sound, RATE_HZ, subtype="PCM_24")
    config = from_options(
        {
            "machines": {"pump": {"wav": {"paths": [str(tmp_path / "pump.wav")], "paced": False}}},
            "learn": {"minutes": 0.5, "sample_rate_hz": "auto", "window_s": 2},
            "state_dir": str(tmp_path / "state"),
            "mqtt": None, "prometheus": None, "web": None,
        }
    )  # fmt: skip
    with running(config) as (handle, collected):
        wait_until(lambda: len(collected.windows("pump")) >= 13)
        detector = handle.monitor.detector("pump")
        assert detector is not None
        assert detector.manifest.sample_rate_hz == chosen_hz
        cut = handle.machines.rings["pump"].snapshot()
        assert cut.sample_rate_hz == chosen_hz
        assert cut.end == pytest.approx(45 * chosen_hz, abs=1)
    kept = sorted((tmp_path / "state/recordings/pump/train").iterdir())
    assert {soundfile.info(path).samplerate for path in kept} == {chosen_hz}
    starts = np.array([one.score.window_start for one in collected.windows("pump")])
    assert 30 <= starts[0] / chosen_hz < 31.5
    assert set(np.diff(starts)) == {chosen_hz}
