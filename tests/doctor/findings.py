"""A context for checks, sound to check, and the finding of one check."""

from typing import cast

import numpy as np

from asd_monitor.config import from_options
from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding
from tests.rig.virtual_microphone import PcmArray

RATE_HZ = 16000


def make_context(*, uses_default_microphone: bool = False, **options: object) -> Context:
    machine = {"mic": "pump"} | cast("dict[str, object]", options.pop("machine", {}))
    settings = from_options({"machines": {"pump": machine}} | options)
    return Context(settings, uses_default_microphone=uses_default_microphone)


def pcm(level_dbfs: float, seconds: float = 3.0, offset: float = 0.0) -> PcmArray:
    """Return white noise as a sound card would deliver it."""
    random = np.random.default_rng(3)
    samples = 10 ** (level_dbfs / 20) * random.standard_normal(round(seconds * RATE_HZ)) + offset
    return (32767 * np.clip(samples, -1, 1)).astype(np.int16)


def only(findings: list[Finding], check: str) -> Finding:
    (finding,) = (finding for finding in findings if finding.check == check)
    return finding
