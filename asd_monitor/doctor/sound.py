"""PortAudio, its devices, and two seconds of real capture."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asd_monitor.audio.quality import assess
from asd_monitor.doctor.context import Case
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.errors import SourceError
from asd_monitor.records import AudioChunk, Quality, SourceHealth, SourceState
from asd_monitor.sources.microphone.devices import (
    NO_MICROPHONE,
    Microphone,
    list_microphones,
    resolve_device,
)
from asd_monitor.sources.microphone.source import MicrophoneSettings, MicrophoneSource

LISTEN_S = 2.0
OPENING_S = 6.0
RATE_HZ = 16_000
PACE_TOLERANCE = 0.25
"""Callbacks come in bursts of up to half a second; over two seconds no more can be said."""
QUIET_DBFS = -70.0
VERSION_TIMEOUT_S = 30.0

Listing = Callable[[], list[Microphone]]


def check_portaudio() -> list[Finding]:
    """Tell which PortAudio there is; asked in a process of its own, as drivers print and hang."""
    code = "import sounddevice; print(sounddevice.get_portaudio_version()[1])"
    try:
        asked = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        told = f"PortAudio did not start within {VERSION_TIMEOUT_S:.0f} s"
        return [failed("portaudio", told, "a sound driver hangs: see `dmesg`", SourceError)]
    version = asked.stdout.strip().splitlines()[-1:]
    if asked.returncode == 0 and version:
        return [ok("portaudio", version[0].partition(",")[0], version=version[0])]
    advice = "install it: apt-get install libportaudio2"
    return [failed("portaudio", "PortAudio cannot be loaded", advice, SourceError)]


def check_devices(case: Case, listing: Listing = list_microphones) -> list[Finding]:
    """Tell which microphones there are."""
    try:
        found = listing()
    except SourceError as error:
        return [failed("devices", str(error), "see `asd-monitor devices`", SourceError)]
    if found:
        names = ", ".join(f"{each.index} {each.name!r}" for each in found)
        return [ok("devices", f"{len(found)} microphone(s): {names}", microphones=len(found))]
    if not case.microphones:
        return [ok("devices", "no microphone, and none is wanted", microphones=0)]
    told, _, advice = NO_MICROPHONE.partition(": ")
    return [failed("devices", told, advice, SourceError, microphones=0)]


def check_capture(case: Case, listing: Listing = list_microphones) -> list[Finding]:
    """Open all microphones that are meant at once, as the monitor does, and listen."""
    try:
        found = listing()
    except SourceError:
        return []  # check_devices has told it
    findings, sources = list[Finding](), list[tuple[Microphone, MicrophoneSource]]()
    for machine, settings in case.microphones.items():
        try:
            microphone, settings = _chosen(case, settings, found)
        except SourceError as error:
            if not case.default_microphone:
                findings.append(_missing(machine, error))
            continue
        sources.append((microphone, MicrophoneSource(machine, settings, RATE_HZ)))
    for (microphone, _), heard in zip(
        sources, listen([source for _, source in sources]), strict=True
    ):
        findings += _judge(microphone, heard)
    return findings


def _chosen(
    case: Case, settings: MicrophoneSettings, found: list[Microphone]
) -> tuple[Microphone, MicrophoneSettings]:
    if not case.default_microphone:
        return resolve_device(settings.device, found), settings
    if not found:
        raise SourceError(NO_MICROPHONE)
    microphone = next((each for each in found if each.is_default), found[0])
    return microphone, settings.model_copy(update={"device": microphone.index})


def _missing(machine: str, error: SourceError) -> Finding:
    advice = "see `asd-monitor devices`, and plug it in or name another one"
    return failed("capture", f"{machine}: {error}", advice, SourceError)


@dataclass
class Heard:
    """What a source has delivered."""

    source: MicrophoneSource
    chunks: list[AudioChunk]
    health: SourceHealth
    began_s: float = 0.0
    """Monotonic time at which the first chunk came."""
    took_s: float = 0.0
    """From the first chunk to the last."""

    def take(self) -> None:
        """Read what has come."""
        self.health = self.source.health()
        new = self.source.read()
        if new and not self.chunks:
            self.began_s = time.monotonic()
        if new:
            self.took_s = time.monotonic() - self.began_s
        self.chunks += new

    @property
    def done(self) -> bool:
        """Whether there is enough to judge by."""
        return bool(self.chunks) and time.monotonic() - self.began_s >= LISTEN_S


def listen(sources: list[MicrophoneSource]) -> list[Heard]:
    """Open sources together, and keep what each delivers in its first seconds."""
    heard = [Heard(source, [], source.health()) for source in sources]
    try:
        for source in sources:
            source.open(lambda: None)
        deadline = time.monotonic() + OPENING_S + LISTEN_S
        while not all(each.done for each in heard) and time.monotonic() < deadline:
            time.sleep(0.02)
            for each in heard:
                each.take()
    finally:
        for source in sources:
            source.close()
    return heard


def _judge(microphone: Microphone, heard: Heard) -> list[Finding]:
    name = f"{heard.source.machine}: microphone {microphone.index} {microphone.name!r}"
    if not heard.chunks:
        reason = heard.health.reason or f"delivers no audio within {OPENING_S:.0f} s"
        told = reason if "microphone" in reason else f"{name}: {reason}"
        advice = "is another program using it, and may this user open it (group `audio`)?"
        return [failed("capture", told, advice, SourceError)]
    opened = ok(
        "capture",
        f"{name} opens; its own rate is {microphone.default_rate_hz} Hz",
        rate_hz=microphone.default_rate_hz,
        channels=microphone.channels,
    )
    return [opened, _judge_pace(name, heard), _judge_sound(name, heard)]


def _judge_pace(name: str, heard: Heard) -> Finding:
    """Compare what came after the first chunk with the time that it took."""
    samples = sum(len(chunk.samples) for chunk in heard.chunks[1:])
    ended = heard.chunks[-1].start + len(heard.chunks[-1].samples)
    lost = ended - heard.chunks[0].start - samples - len(heard.chunks[0].samples)
    pace = samples / RATE_HZ / heard.took_s if heard.took_s else 0.0
    facts = {"pace": round(pace, 3), "lost_samples": lost}
    told = f"{name} delivers {pace:.2f} s of audio per second"
    reason = heard.health.reason if heard.health.state is SourceState.RUNNING else ""
    if abs(pace - 1) > PACE_TOLERANCE:
        advice = "try another port or cable, or another `rate_hz`"
        return failed("pace", told, advice, SourceError, **facts)
    if lost or reason:
        more = reason or f"{lost} samples were lost in {LISTEN_S:.0f} s"
        return warning("pace", f"{told}; {more}", "is this computer overloaded?", **facts)
    return ok("pace", told, **facts)


def _judge_sound(name: str, heard: Heard) -> Finding:
    found = assess(np.concatenate([chunk.samples for chunk in heard.chunks]))
    level = found.level_dbfs
    facts = {
        "level_dbfs": None if level is None else round(level, 1),
        "quality": str(found.quality),
    }
    if found.quality is Quality.SILENT or heard.health.state is SourceState.SILENT:
        told, advice = f"{name} delivers digital silence", "unmute it: `alsamixer`, `pavucontrol`"
        return failed("sound", told, advice, SourceError, **facts)
    if found.quality in (Quality.STUCK, Quality.NON_FINITE):
        told = f"{name} delivers no sound ({found.quality}): its samples hardly change"
        return failed("sound", told, "try another port, cable or microphone", SourceError, **facts)
    told = f"{name}: level {level:.1f} dBFS"
    if found.quality is Quality.CLIPPED:
        advice = "turn the gain down, or move it away from the machine"
        return warning("sound", f"{told}, and too loud: it clips", advice, **facts)
    if found.quality is Quality.DC:
        advice = "is it powered and connected rightly? A sound server's high-pass may help"
        return warning("sound", f"{told}, with a constant offset", advice, **facts)
    if level is not None and level < QUIET_DBFS:
        advice = "turn the gain up: `alsamixer`, F4"
        return warning("sound", f"{told}, which is very quiet", advice, **facts)
    return ok("sound", told, **facts)


def check_recordings(case: Case) -> list[Finding]:
    """Tell whether the recordings that take a microphone's place are there."""
    from asd_monitor.sources.wav import find_recordings

    findings = []
    for machine, settings in case.recordings.items():
        try:
            count = len(find_recordings(settings.paths))
        except SourceError as error:
            advice = f"correct machines.{machine}.wav"
            findings.append(failed("recordings", f"{machine}: {error}", advice, SourceError))
        else:
            findings.append(ok("recordings", f"{machine}: {count} recording(s)", count=count))
    return findings
