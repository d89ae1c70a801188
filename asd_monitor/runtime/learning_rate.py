"""The sample rate at which a machine without a model is learned."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from asd_monitor.audio import bandwidth
from asd_monitor.audio.files import read_header
from asd_monitor.config import Config
from asd_monitor.errors import ConfigError, SourceError
from asd_monitor.records import FloatArray
from asd_monitor.runtime.recording_store import FILE_PATTERN
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sources.microphone.devices import Microphone
from asd_monitor.sources.playlist import find_recordings
from asd_monitor.sources.wav import WavSettings

logger = logging.getLogger(__name__)

AUTO_RATES_HZ = (16_000, 48_000, 96_000)
"""The rates that `auto` chooses from."""


def learning_rate_hz(
    config: Config, state: StateFolder, machine: str, microphone: Microphone | None
) -> int:
    """Return the rate at which a machine's sound is captured in order to learn it.

    With `auto` this is the rate of its earlier recordings, or else the highest of
    :data:`AUTO_RATES_HZ` that its source offers, from which :func:`choose_rate_hz` may go down.

    Parameters
    ----------
    config
        The settings.
    state
        The state folder, which has earlier recordings.
    machine
        Name of the machine.
    microphone
        Its microphone; None if it has none, or if it is not connected.
        The rates of one that is in use are not known.
    """
    wanted_hz = config.learn_of(machine).sample_rate_hz
    if wanted_hz != "auto":
        return wanted_hz
    earlier_hz = list(_rates_hz(_earlier_recordings(state, machine)))
    if earlier_hz:
        return min(earlier_hz)
    settings = config.machines[machine].source
    if isinstance(settings, WavSettings):
        paths = [path for _, path in find_recordings(settings.paths)]
        offered_hz = min(_rates_hz(paths), default=AUTO_RATES_HZ[0])
    elif microphone is None or not microphone.default_rate_hz:
        offered_hz = 48_000  # what nearly all sound cards offer
    else:
        offered_hz = max((microphone.default_rate_hz, *microphone.rates_hz))
    return max((rate for rate in AUTO_RATES_HZ if rate <= offered_hz), default=AUTO_RATES_HZ[0])


def is_rate_chosen(config: Config, machine: str, rate_hz: int) -> bool:
    """Return whether the rate to learn at is chosen from the first minute of sound at this one."""
    is_auto = config.learn_of(machine).sample_rate_hz == "auto"
    return is_auto and rate_hz in AUTO_RATES_HZ[1:]


def choose_rate_hz(machine: str, rate_hz: int, recordings: Sequence[FloatArray]) -> int:
    """Return the rate to learn a machine at, given its first recordings, and log it."""
    lower_hz = [rate for rate in AUTO_RATES_HZ if rate < rate_hz and not rate_hz % rate]
    chosen_hz = bandwidth.choose_rate_hz(recordings, rate_hz, lower_hz)
    if chosen_hz == AUTO_RATES_HZ[0]:
        found = f"no sound above {chosen_hz / 2000:g} kHz exceeds the noise of the microphone"
    else:
        below_hz = max(rate for rate in lower_hz if rate < chosen_hz)
        found = f"it has sound above {below_hz / 2000:g} kHz"
    logger.info("%s: learned at %d Hz: %s", machine, chosen_hz, found)
    return chosen_hz


def recorded_rate_hz(state: StateFolder, machine: str) -> int:
    """Return the lowest rate of a machine's recordings; the lowest of `auto` without any."""
    return min(_rates_hz(_earlier_recordings(state, machine)), default=AUTO_RATES_HZ[0])


def check_earlier_recordings(state: StateFolder, machine: str, rate_hz: int) -> None:
    """Check that a machine's earlier recordings can be learned from at a rate.

    Raises
    ------
    ConfigError
        If some of them have a lower rate: a model would take the missing high frequencies for
        normal.
    """
    rates_hz = list(_rates_hz(_earlier_recordings(state, machine)))
    lower_hz = [earlier_hz for earlier_hz in rates_hz if earlier_hz < rate_hz]
    if lower_hz:
        msg = (
            f"{machine}: expected recordings at {rate_hz} Hz to learn from, as in "
            f"learn.sample_rate_hz, found {len(lower_hz)} earlier ones at {min(lower_hz)} Hz in "
            f"{state.recordings_path(machine)}, which have nothing above {min(lower_hz) / 2000:g} "
            f"kHz; archive them with `asd-monitor learn --fresh`, or learn at {min(lower_hz)} Hz"
        )
        raise ConfigError(msg)
    if any(earlier_hz > rate_hz for earlier_hz in rates_hz):
        logger.warning(
            "%s: earlier recordings at %d Hz are learned at %d Hz, as in learn.sample_rate_hz: "
            "faults above %g kHz are not found",
            machine, max(rates_hz), rate_hz, rate_hz / 2000,
        )  # fmt: skip


def _earlier_recordings(state: StateFolder, machine: str) -> list[Path]:
    return sorted(state.recordings_path(machine).glob(FILE_PATTERN))


def _rates_hz(paths: Sequence[Path]) -> Iterator[int]:
    for path in paths:
        try:
            yield read_header(path).rate_hz
        except SourceError:
            continue  # reported where it is read
