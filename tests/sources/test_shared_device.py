"""Several machines on one device that can be opened only once, with the real PortAudio."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from asd_monitor.records import SourceState
from asd_monitor.sources.microphone.device_capture import DeviceCaptures
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import MicrophoneSource
from tests.rig.listening import Listener, SoundIndex, noise
from tests.rig.microphone_process import (
    RATE_HZ,
    SAFE_LATENCY_S,
    assert_every_loss_is_counted_once,
    assert_starts_are_true_positions,
    capture_process,
)
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    PcmArray,
    VirtualMicrophone,
    VirtualSound,
)

Fault = Callable[[VirtualMicrophone], None]


@contextmanager
def sharing(*machines: tuple[object, int], latency_s: float = 0.3) -> Iterator[list[Listener]]:
    """Open sources on one device, each given by its channel and sample rate."""
    captures, sources = DeviceCaptures(), []
    for number, (channel, rate_hz) in enumerate(machines):
        options = {"device": "card", "latency_s": latency_s, "channel": channel}
        settings = MicrophoneSettings.model_validate(options)
        capture = captures.of(settings)
        sources.append(MicrophoneSource(f"m{number}", settings, rate_hz, capture=capture))
    try:
        yield [Listener(source) for source in sources]
    finally:
        for source in sources:
            source.close()


def card(make: MakeMicrophones, sound: PcmArray) -> VirtualMicrophone:
    return make(card=VirtualSound(sound, RATE_HZ, exclusive=True))["card"]


def as_floats(sound: PcmArray) -> np.ndarray:
    return sound.astype(np.float32) / 32768


def test_machines_on_one_card_share_a_process_and_each_has_its_channel(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(10, RATE_HZ, channels=3)
    card(virtual_microphones, sound)
    channels = (0, 2, "mean", 2)
    machines = [(channel, RATE_HZ) for channel in channels]
    with sharing(*machines, latency_s=SAFE_LATENCY_S) as listeners:
        for listener in listeners:
            listener.until_more(RATE_HZ // 2)
        capture_process()  # raises unless there is exactly one
        states = {listener.source.health().state for listener in listeners}
    assert states == {SourceState.RUNNING}
    floats = as_floats(sound)
    expected = [floats[:, 0], floats[:, 2], floats.mean(axis=1), floats[:, 2]]
    for listener, channel in zip(listeners, expected, strict=True):
        assert listener.gaps == []
        np.testing.assert_allclose(listener.samples, channel[: listener.count], atol=1e-7)


def test_machines_on_one_card_may_have_models_of_different_rates(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(10, RATE_HZ)
    card(virtual_microphones, sound)
    with sharing((0, RATE_HZ), (0, RATE_HZ // 2), latency_s=SAFE_LATENCY_S) as (full, half):
        full.until_more(RATE_HZ)
        half.until_more(RATE_HZ // 2)
    np.testing.assert_array_equal(full.samples, as_floats(sound)[: full.count])
    assert half.gaps == []
    assert half.chunks[0].start == 0


def kill(_: VirtualMicrophone) -> None:
    capture_process().kill()


def hang(_: VirtualMicrophone) -> None:
    capture_process().suspend()


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (VirtualMicrophone.unplug, SourceState.MISSING),
        (VirtualMicrophone.freeze, SourceState.FROZEN),
        (kill, SourceState.MISSING),
        (hang, SourceState.FROZEN),
    ],
)
def test_a_fault_of_the_device_or_its_process_concerns_all_machines_and_each_counts_its_loss(
    virtual_microphones: MakeMicrophones, fault: Fault, state: SourceState
) -> None:
    sound = noise(60, RATE_HZ, channels=2)
    microphone = card(virtual_microphones, sound)
    with sharing((0, RATE_HZ), (1, RATE_HZ)) as listeners:
        for listener in listeners:
            listener.until_more(RATE_HZ // 4)
        fault(microphone)
        for listener in listeners:
            listener.until_state(state)
        microphone.restore()
        for listener in listeners:
            listener.until_state(SourceState.RUNNING)
            listener.until(lambda at=listener: bool(at.gaps), "the loss")  # type: ignore[misc]
            listener.until_more(RATE_HZ // 4)
    for channel, listener in enumerate(listeners):
        assert_starts_are_true_positions(listener, SoundIndex(sound[:, channel]))
        assert_every_loss_is_counted_once(listener)


def test_a_channel_that_the_card_does_not_have_concerns_only_its_machine(
    virtual_microphones: MakeMicrophones,
) -> None:
    card(virtual_microphones, noise(10, RATE_HZ, channels=2))
    with sharing((2, RATE_HZ), (1, RATE_HZ)) as (wrong, right):
        right.until_more(RATE_HZ // 4)
        reason = wrong.until_state(SourceState.MISSING).reason
        assert right.source.health().state is SourceState.RUNNING
    assert "has no channel 2 (from 0): it has 2" in reason


def test_a_silent_channel_concerns_only_its_machine(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(10, RATE_HZ, channels=2)
    sound[:, 0] = 0
    card(virtual_microphones, sound)
    with sharing((0, RATE_HZ), (1, RATE_HZ)) as (silent, loud):
        reason = silent.until_state(SourceState.SILENT).reason
        assert loud.until_state(SourceState.RUNNING).reason == ""
    assert "digital silence on channel 0 (every sample is 0), but channel 1 has sound" in reason
    assert "set `channel: 1`" in reason


def test_a_machine_joins_and_leaves_a_device_without_a_loss_for_the_others(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(60, RATE_HZ, channels=2)
    microphone = card(virtual_microphones, sound)
    captures = DeviceCaptures()

    def listen(channel: object, rate_hz: int) -> Listener:
        options = {"device": "card", "latency_s": SAFE_LATENCY_S, "channel": channel}
        settings = MicrophoneSettings.model_validate(options)
        capture = captures.of(settings)
        return Listener(MicrophoneSource(f"m{channel}", settings, rate_hz, capture=capture))

    first = listen(0, RATE_HZ)
    first.source.expect_windows(RATE_HZ, RATE_HZ)
    first.until_more(3 * RATE_HZ)
    process = capture_process()
    second, mean = listen(1, RATE_HZ), listen("mean", RATE_HZ // 2)
    second.until_more(RATE_HZ)
    mean.until_more(RATE_HZ // 2)
    second.source.close()
    first.until_more(2 * RATE_HZ)
    third = listen(1, RATE_HZ)
    third.until_more(RATE_HZ)
    first.until_more(RATE_HZ)
    assert capture_process().pid == process.pid
    floats = as_floats(sound)
    np.testing.assert_array_equal(first.samples, floats[: first.count, 0])
    for joined in (second, third):
        start = SoundIndex(sound[:, 1]).position(joined.samples)
        assert start > 2 * RATE_HZ
        np.testing.assert_array_equal(joined.samples, floats[start : start + joined.count, 1])
    for listener in (first, second, mean, third):
        assert listener.gaps == []
        assert listener.source.health().lost_samples == 0
    microphone.unplug()  # a new stream has the tracks of the machines that are open
    third.until_state(SourceState.MISSING)
    microphone.restore()
    third.until_state(SourceState.RUNNING)
    third.until(lambda: bool(third.gaps), "the loss")
    third.until_more(RATE_HZ // 4)
    for listener in (first, mean, third):
        listener.source.close()
    assert not process.is_running()
    again = listen(1, RATE_HZ)  # the device is opened again after its last machine has left
    again.until_more(RATE_HZ // 2)
    again.source.close()


def test_the_device_is_open_until_its_last_machine_is_closed(
    virtual_microphones: MakeMicrophones,
) -> None:
    card(virtual_microphones, noise(10, RATE_HZ, channels=2))
    with sharing((0, RATE_HZ), (1, RATE_HZ)) as (first, second):
        first.until_more(1)
        process = capture_process()
        first.source.close()
        assert first.source.health().state is SourceState.CLOSED
        first.source.read()
        second.until_more(RATE_HZ // 2)
        assert process.is_running()
        assert first.source.health().state is SourceState.CLOSED
        assert first.source.read() == []
        second.source.close()
        assert not process.is_running()


def test_audio_is_sent_when_it_completes_a_window_of_any_machine(
    virtual_microphones: MakeMicrophones,
) -> None:
    card(virtual_microphones, noise(10, RATE_HZ, channels=2))
    with sharing((0, RATE_HZ), (1, RATE_HZ)) as (first, second):
        first.until_more(1)
        second.until_more(1)
        first.source.expect_windows(RATE_HZ // 2, RATE_HZ)
        second.source.expect_windows(RATE_HZ, RATE_HZ)
        first.until_more(RATE_HZ)
        before = len(first.chunks)
        first.until_more(4 * RATE_HZ)
    # Every callback would be 13 times a second; half of the windows are those of the other machine.
    ends = [chunk.start + len(chunk.samples) for chunk in first.chunks[before:]]
    half_s = RATE_HZ // 2
    completing = [b // half_s > a // half_s for a, b in itertools.pairwise(ends)]
    assert sum(completing) > len(completing) / 2
