"""The microphone source, with the real PortAudio and a virtual microphone."""

import time

import numpy as np
import pytest
import soxr
from pydantic import ValidationError

from asd_monitor.records import SourceState
from asd_monitor.sources.microphone.devices import list_microphones
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from tests.rig.listening import SoundIndex, noise
from tests.rig.microphone_process import (
    RATE_HZ,
    SAFE_LATENCY_S,
    assert_every_loss_is_counted_once,
    assert_starts_are_true_positions,
    listening,
)
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    VirtualSound,
)


def test_audio_at_the_models_rate_arrives_bit_exact(virtual_microphones: MakeMicrophones) -> None:
    sound = noise(10, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump", latency_s=SAFE_LATENCY_S) as listener:
        health = listener.until_more(RATE_HZ)
    assert listener.gaps == []
    np.testing.assert_array_equal(
        listener.samples, sound[: listener.count].astype(np.float32) / 32768
    )
    assert (health.state, health.reason, health.device) == (SourceState.RUNNING, "", "pump")
    assert health.last_audio_at == pytest.approx(time.time(), abs=30)


def test_another_rate_is_converted_as_if_all_at_once(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(10, 48000)
    virtual_microphones(pump=VirtualSound(sound, 48000))
    with listening("pump", latency_s=SAFE_LATENCY_S) as listener:
        listener.until_more(RATE_HZ)
    whole = soxr.resample(sound.astype(np.float32) / 32768, 48000, RATE_HZ, quality="HQ")
    count = listener.count - RATE_HZ // 10  # closing discards the end
    np.testing.assert_array_equal(listener.samples[:count], whole[:count])


def test_channels_are_selected_or_averaged_and_microphones_do_not_mix(
    virtual_microphones: MakeMicrophones,
) -> None:
    two, one = noise(10, RATE_HZ, channels=2), noise(10, RATE_HZ, seed=1)
    virtual_microphones(fan=VirtualSound(two, RATE_HZ), pump=VirtualSound(one, RATE_HZ))
    with (
        listening("fan", channel=1, latency_s=SAFE_LATENCY_S) as right,
        listening("fan", channel="mean", latency_s=SAFE_LATENCY_S) as mean,
        listening("pump", latency_s=SAFE_LATENCY_S) as other,
    ):
        for listener in (right, mean, other):
            listener.until_more(RATE_HZ // 2)
    float_two = two.astype(np.float32) / 32768
    first = SoundIndex(two[:, 1]).position(right.samples)
    np.testing.assert_array_equal(right.samples, float_two[first : first + right.count, 1])
    averaged = float_two.mean(axis=1)
    begins = np.lib.stride_tricks.sliding_window_view(averaged, 8)
    first = int(np.flatnonzero((begins == mean.samples[:8]).all(axis=1))[0])
    np.testing.assert_allclose(mean.samples, averaged[first : first + mean.count], atol=1e-7)
    np.testing.assert_array_equal(other.samples, one[: other.count].astype(np.float32) / 32768)


def test_an_unplugged_microphone_is_missing_then_returns_and_disturbs_no_other(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound, other_sound = noise(60, RATE_HZ), noise(60, RATE_HZ, seed=1)
    mics = virtual_microphones(
        pump=VirtualSound(sound, RATE_HZ), fan=VirtualSound(other_sound, RATE_HZ)
    )
    with listening("pump") as listener, listening("fan", latency_s=SAFE_LATENCY_S) as other:
        listener.until_more(RATE_HZ // 2)
        mics["pump"].unplug()
        health = listener.until_state(SourceState.MISSING)
        assert "'pump' was not found" in health.reason
        assert "'fan'" in health.reason
        mics["pump"].restore()
        listener.until_state(SourceState.RUNNING)
        health = listener.until_more(RATE_HZ // 2)
        other.until_more(1)
    assert health.reopens >= 1
    assert_starts_are_true_positions(listener, SoundIndex(sound))
    assert_every_loss_is_counted_once(listener)
    assert sum(listener.gaps) > RATE_HZ
    assert other.gaps == []
    np.testing.assert_array_equal(
        other.samples, other_sound[: other.count].astype(np.float32) / 32768
    )


def test_a_microphone_missing_at_start_is_found_when_it_appears(
    virtual_microphones: MakeMicrophones,
) -> None:
    mics = virtual_microphones(pump=VirtualSound(noise(10, RATE_HZ), RATE_HZ, plugged=False))
    with listening("pump", latency_s=SAFE_LATENCY_S) as listener:
        health = listener.until_state(SourceState.MISSING)
        assert "'pump' was not found" in health.reason
        assert health.last_audio_at is None
        mics["pump"].restore()
        listener.until_state(SourceState.RUNNING)
        health = listener.until_more(RATE_HZ // 4)
    assert (health.lost_samples, health.reopens) == (0, 0)
    assert listener.chunks[0].start == 0


def test_a_frozen_microphone_is_reported_and_its_pause_counts_as_lost(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(60, RATE_HZ)
    mics = virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(RATE_HZ // 2)
        mics["pump"].freeze()
        health = listener.until_state(SourceState.FROZEN)
        assert "delivered nothing" in health.reason
        mics["pump"].restore()
        listener.until_state(SourceState.RUNNING)
        listener.until_more(RATE_HZ)
    assert_starts_are_true_positions(listener, SoundIndex(sound))
    assert_every_loss_is_counted_once(listener)


def test_digital_silence_is_reported_without_a_loss(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(60, RATE_HZ)
    mics = virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump", latency_s=SAFE_LATENCY_S) as listener:
        listener.until_more(RATE_HZ // 4)
        mics["pump"].mute()
        health = listener.until_state(SourceState.SILENT)
        assert "every sample is 0" in health.reason
        mics["pump"].restore()
        listener.until_state(SourceState.RUNNING)
    assert listener.gaps == []


def test_a_silent_channel_is_reported_with_the_one_of_many_that_has_sound(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(10, RATE_HZ, channels=4)
    sound[:, :2] = 0
    sound[:, 3] %= 2  # the noise of an input without a microphone
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump") as listener:
        health = listener.until_state(SourceState.SILENT)
    assert "but channel 2 has sound" in health.reason


def test_the_rate_of_the_device_is_reported(virtual_microphones: MakeMicrophones) -> None:
    virtual_microphones(pump=VirtualSound(noise(10, 48_000), 48_000))
    with listening("pump") as listener:
        health = listener.until_more(RATE_HZ)
    assert health.rate_hz == 48_000


def test_a_stuck_value_is_reported_as_silence(virtual_microphones: MakeMicrophones) -> None:
    virtual_microphones(pump=VirtualSound(np.full(RATE_HZ, 77, np.int16), RATE_HZ))
    with listening("pump") as listener:
        listener.until_state(SourceState.SILENT)


def test_a_changed_sound_is_delivered_without_a_gap(virtual_microphones: MakeMicrophones) -> None:
    mics = virtual_microphones(pump=VirtualSound(noise(10, RATE_HZ), RATE_HZ))
    with listening("pump", latency_s=SAFE_LATENCY_S) as listener:
        listener.until_more(RATE_HZ // 4)
        mics["pump"].replace_sound(np.array([100, -100] * 100, np.int16))
        listener.until(lambda: bool((abs(listener.samples[-200:]) < 0.01).all()), "the new sound")
    assert listener.gaps == []


def test_a_pinned_index_never_selects_another_microphone(
    virtual_microphones: MakeMicrophones,
) -> None:
    mics = virtual_microphones(
        pump=VirtualSound(noise(20, RATE_HZ), RATE_HZ),
        fan=VirtualSound(noise(20, RATE_HZ, seed=1), RATE_HZ),
    )
    index = {mic.name: mic.index for mic in list_microphones()}["pump"]
    assert index is not None
    with listening(index) as listener:
        listener.until_more(RATE_HZ // 4)
        mics["pump"].unplug()  # the fan's microphone now has its index
        health = listener.until_state(SourceState.MISSING)
    assert health.device == "pump"
    assert "'pump' (id alsa:pump) was not found" in health.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rate_hz": 44100}, "cannot be opened at 44100 Hz; its own rate is 16000 Hz"),
        ({"channel": 2}, "has no channel 2 (from 0): it has 1"),
    ],
)
def test_settings_that_the_device_does_not_offer_are_reported(
    virtual_microphones: MakeMicrophones, settings: dict[str, object], reason: str
) -> None:
    virtual_microphones(pump=VirtualSound(noise(1, RATE_HZ), RATE_HZ))
    with listening("pump", **settings) as listener:
        assert reason in listener.until_state(SourceState.MISSING).reason


@pytest.mark.parametrize(
    "wrong", [{"device": "x", "latency_s": 9}, {"device": "x", "chanel": 1}, {"channel": 0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MicrophoneSettings.model_validate(wrong)


def test_a_number_given_as_text_is_an_index() -> None:
    assert MicrophoneSettings(device="3").device == 3
