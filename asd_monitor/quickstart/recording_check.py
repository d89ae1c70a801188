"""A check of the sound that a model is learned from: varied, loud, not overdriven, without hum."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from asd_monitor.audio.hum import find_hum_in_spectrum
from asd_monitor.audio.quality import FULL_SCALE, QUIET_DBFS
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.quickstart.training_windows import Recording

MIN_SPAN_MIN = 60.0
MIN_OVERDRIVEN_FRACTION = 1e-4
SEGMENT_S = 4.0
MAX_SEGMENTS = 100
"""Hum is looked for in the middle of this many recordings at most."""


TRAINING_KEY = "findings"
"""Entry of a model's manifest, in ``training``."""
UNDATED_SESSIONS = frozenset({"", "earlier"})
"""Sessions whose recordings have no known distance in time."""


def findings_of(manifest: Manifest) -> list[str]:
    """Return what :func:`check_recordings` found when a model was fitted; empty if not known."""
    findings = manifest.training.get(TRAINING_KEY)
    return [str(finding) for finding in findings] if isinstance(findings, list | tuple) else []


def check_recordings(recordings: Sequence[Recording], sample_rate_hz: int) -> list[str]:
    """Return what limits a model of these recordings, and what to do, in sentences.

    How few false alarms their length supports is known after the fit, see
    :meth:`~asd_monitor.detection.decision_rule.DecisionRule.describe_support`.

    Parameters
    ----------
    recordings
        Normal sound of one machine.
    sample_rate_hz
        Its sample rate.

    Returns
    -------
    findings
        One sentence each, for the user; empty if nothing was found.
    """
    statistics = _Statistics(sample_rate_hz)
    for recording in recordings:
        statistics.add(np.asarray(recording.samples, np.float32))
    findings = (
        statistics.describe_overdriven(),
        statistics.describe_level(),
        statistics.describe_hum(),
        _describe_span(recordings, sample_rate_hz),
    )
    return [finding for finding in findings if finding]


def _describe_span(recordings: Sequence[Recording], sample_rate_hz: int) -> str:
    """Return a finding if all recordings were made in one run, one shortly after the other."""
    sessions = {each.session for each in recordings}
    if len(sessions) != 1 or sessions & UNDATED_SESSIONS:
        return ""
    ends_s = [each.start_s + len(each.samples) / sample_rate_hz for each in recordings]
    span_min = (max(ends_s) - min(each.start_s for each in recordings)) / 60
    if span_min >= MIN_SPAN_MIN:
        return ""
    return (
        f"all recordings are from within {span_min:.2g} min: loads, temperatures and background "
        "sound of other hours are not known as normal; learn again at another time of the day"
    )


class _Statistics:
    """Overdriven samples, level and low frequencies of recordings, which are added one by one."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._samples = self._overdriven = self._segments = 0
        self._squares = 0.0
        length = round(SEGMENT_S * sample_rate_hz)
        self._window = np.hanning(length)
        self._power: npt.NDArray[np.float64] = np.zeros(length // 2 + 1)

    def add(self, samples: npt.NDArray[np.float32]) -> None:
        """Take a recording into account."""
        if not len(samples):
            return
        self._samples += len(samples)
        self._overdriven += int(np.count_nonzero(np.abs(samples) >= FULL_SCALE))
        centred = samples - samples.mean(dtype=np.float64)
        self._squares += float(centred @ centred)
        length = len(self._window)
        if len(samples) >= length and self._segments < MAX_SEGMENTS:
            first = (len(samples) - length) // 2
            spectrum = np.fft.rfft(centred[first : first + length] * self._window)
            self._power += np.square(np.abs(spectrum))
            self._segments += 1

    def describe_overdriven(self) -> str:
        """Return a finding if samples are at full scale."""
        fraction = self._overdriven / max(self._samples, 1)
        if fraction < MIN_OVERDRIVEN_FRACTION:
            return ""
        return (
            f"{100 * fraction:.2g} % of the sound was overdriven (at full scale): reduce the gain, "
            "or move the microphone away from the machine, and learn again with --fresh"
        )

    def describe_level(self) -> str:
        """Return a finding if the sound is quiet."""
        level_dbfs = 10 * np.log10(self._squares / max(self._samples, 1) + 1e-20)
        if level_dbfs >= QUIET_DBFS:
            return ""
        return (
            f"very quiet, {level_dbfs:.0f} dBFS on average: increase the gain, or move the "
            "microphone closer to the machine, and learn again with --fresh"
        )

    def describe_hum(self) -> str:
        """Return a finding if hum of the mains dominates the low frequencies."""
        hum = find_hum_in_spectrum(self._power, 1 / SEGMENT_S)
        if hum is None:
            return ""
        return (
            f"{hum.mains_hz:.0f} Hz hum {hum.above_rest_db:.0f} dB above the rest of the sound "
            "below 1 kHz: where it is not from the machine itself, check the microphone's cable "
            "and earth"
        )
