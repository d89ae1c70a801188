"""Check PortAudio, the microphones, and two seconds of real capture."""

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from asd_monitor.audio.quality import DESCRIPTIONS, assess
from asd_monitor.doctor.context import Context
from asd_monitor.doctor.finding import Finding, failed, ok, warning
from asd_monitor.doctor.recording import CAPTURE_S, OPEN_TIMEOUT_S, Capture, record
from asd_monitor.errors import ConfigError, SourceError
from asd_monitor.records import Quality, SourceState
from asd_monitor.runtime.learned_microphones import learned_microphones
from asd_monitor.runtime.microphones import (
    Choice,
    choose_microphone,
    describe,
    share_devices,
)
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sources.microphone.device_capture import DeviceCaptures
from asd_monitor.sources.microphone.devices import (
    NO_MICROPHONE,
    Microphone,
    list_microphones,
)
from asd_monitor.sources.microphone.selection import find_device, list_names
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import MicrophoneSource
from asd_monitor.sources.microphone.unlisted import IN_USE

RATE_HZ = 16_000
MAX_PACE_ERROR = 0.25
"""Callbacks arrive in bursts of up to half a second, so two seconds allow no closer check."""
MIN_LEVEL_DBFS = -70.0
VERSION_TIMEOUT_S = 30.0

ListMicrophones = Callable[[], list[Microphone]]


def check_portaudio() -> list[Finding]:
    """Load PortAudio in a separate process, because drivers print messages and may hang."""
    code = "import sounddevice; print(sounddevice.get_portaudio_version()[1])"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"PortAudio did not start within {VERSION_TIMEOUT_S:.0f} s"
        return [failed("portaudio", message, "a sound driver hangs: see `dmesg`", SourceError)]
    version = done.stdout.strip().splitlines()[-1:]
    if done.returncode == 0 and version:
        return [ok("portaudio", version[0].partition(",")[0], version=version[0])]
    hint = "install it: apt-get install libportaudio2"
    return [failed("portaudio", "PortAudio cannot be loaded", hint, SourceError)]


def check_devices(
    context: Context, list_devices: ListMicrophones = list_microphones
) -> list[Finding]:
    """List the microphones of this computer."""
    try:
        microphones = list_devices()
    except SourceError as error:
        return [failed("devices", str(error), "see `asd-monitor devices`", SourceError)]
    count = len(microphones)
    if count:
        names = list_names(microphones)
        return [ok("devices", f"{count} microphone(s): {names}", microphones=count)]
    if not context.microphones:
        return [ok("devices", "no microphone, and none is needed", microphones=0)]
    message, _, hint = NO_MICROPHONE.partition(": ")
    return [failed("devices", message, hint, SourceError, microphones=0)]


def check_capture(
    context: Context, list_devices: ListMicrophones = list_microphones
) -> list[Finding]:
    """Open all microphones of the settings at the same time, as the monitor does, and record."""
    try:
        present = list_devices()
    except SourceError:
        return []  # reported by check_devices
    findings = list[Finding]()
    usable = dict[str, Choice]()
    state = StateFolder.locate(context.config.state_dir, os.environ)
    for machine, settings in context.microphones.items():
        try:
            choice = _choose_microphone(context, state, machine, settings, present)
        except SourceError as error:
            if present and not context.uses_default_microphone:  # else check_devices reports it
                hint = "see `asd-monitor devices`; plug it in, or name another one"
                findings.append(failed("capture", f"{machine}: {error}", hint, SourceError))
            continue
        findings += _assess_identity(machine, settings, choice)
        if choice.microphone is not None and choice.microphone.unavailable:
            findings.append(_assess_unavailable(state, machine, choice.microphone))
        elif choice.microphone is not None:
            usable[machine] = choice
    return findings + _check_choices(usable)


def _check_choices(choices: dict[str, Choice]) -> list[Finding]:
    """Record with the microphones of machines; those on one device are captured together."""
    try:
        choices = share_devices(choices)
    except ConfigError as error:
        message, _, hint = str(error).partition("; ")
        return [failed("capture", message, hint, ConfigError)]
    devices = DeviceCaptures()
    sources, findings = list[tuple[Microphone, MicrophoneSource]](), list[Finding]()
    for machine, choice in choices.items():
        capture = devices.of(choice.settings)
        source = MicrophoneSource(machine, choice.settings, RATE_HZ, capture=capture)
        if choice.microphone is not None:
            sources.append((choice.microphone, source))
    captures = record([source for _, source in sources])
    for (microphone, _), captured in zip(sources, captures, strict=True):
        findings += _assess_capture(microphone, captured)
    return findings


def _choose_microphone(
    context: Context,
    state: StateFolder,
    machine: str,
    settings: MicrophoneSettings,
    present: list[Microphone],
) -> Choice:
    if context.uses_default_microphone:
        if not present:
            raise SourceError(NO_MICROPHONE)
        microphone = next((mic for mic in present if mic.is_default), present[0])
        pinned = settings.model_copy(update={"device": microphone.stable_id})
        return Choice(pinned, microphone)
    choice = choose_microphone(
        machine, settings, present, learned_microphones(context.config, state, machine)
    )
    if choice.microphone is None and not choice.missing_hint:
        find_device(choice.settings.device, present)  # raises: it is not connected
    return choice


def _assess_identity(machine: str, settings: MicrophoneSettings, choice: Choice) -> list[Finding]:
    """Report a microphone that is not the one that the machine was learned with, or an index."""
    if choice.note:
        return [warning("microphone", f"{machine}: {choice.note}", "learn again when you can")]
    if choice.microphone is None:
        hint = "plug it in, or learn the machine again with another one"
        message = f"{machine}: {choice.missing_hint}"
        return [failed("microphone", message, hint, SourceError)]
    if isinstance(settings.device, int):
        message = f"{machine}: {describe(choice, settings.device)}"
        hint = "use the id: an index changes when microphones are added, removed or in use"
        return [warning("microphone", message, hint)]
    return []


def _assess_unavailable(state: StateFolder, machine: str, microphone: Microphone) -> Finding:
    """Report a microphone that is in use: by the monitor of this machine, or by another program."""
    message = f"{machine}: microphone {microphone.label} is {microphone.unavailable}"
    is_of_monitor = microphone.unavailable == IN_USE or "asd-monitor" in microphone.unavailable
    if is_of_monitor and (holder := state.lock_holder(machine)):
        text = f"{machine}: microphone {microphone.label} is in use by the running monitor"
        return ok("capture", f"{text} of this machine (process {holder}), so it was not opened")
    if "in use" in microphone.unavailable:
        hint = "end that program, or let it use another microphone; a card can be opened once"
    else:
        hint = "add this user to the group `audio`, and log in again; see `arecord -l`"
    return failed("capture", message, hint, SourceError)


def _assess_capture(microphone: Microphone, captured: Capture) -> list[Finding]:
    name = f"{captured.source.machine}: microphone {microphone.index} {microphone.name!r}"
    if not captured.chunks:
        reason = captured.health.reason or f"no audio within {OPEN_TIMEOUT_S:.0f} s"
        message = reason if "microphone" in reason else f"{name}: {reason}"
        hint = "check that no other program uses it, and that this user is in the group `audio`"
        return [failed("capture", message, hint, SourceError)]
    opened = ok(
        "capture",
        f"{name} opens; its own rate is {microphone.default_rate_hz} Hz",
        rate_hz=microphone.default_rate_hz,
        channels=microphone.channels,
    )
    return [opened, _assess_pace(name, captured), _assess_sound(name, captured)]


def _assess_pace(name: str, captured: Capture) -> Finding:
    """Compare the audio after the first chunk with the time in which it arrived."""
    samples = sum(len(chunk.samples) for chunk in captured.chunks[1:])
    lost = sum(chunk.lost_samples for chunk in captured.chunks[1:])
    pace = samples / RATE_HZ / captured.duration_s if captured.duration_s else 0.0
    facts = {"pace": round(pace, 3), "lost_samples": lost}
    message = f"{name} delivers {pace:.2f} s of audio per second"
    health = captured.health
    reason = health.reason if health.state is SourceState.RUNNING else ""
    if abs(pace - 1) > MAX_PACE_ERROR:
        hint = "try another port or cable, or another `rate_hz`"
        return failed("pace", message, hint, SourceError, **facts)
    if lost or reason:
        detail = reason or f"{lost} samples were lost in {CAPTURE_S:.0f} s"
        return warning("pace", f"{message}; {detail}", "is this computer overloaded?", **facts)
    return ok("pace", message, **facts)


def _assess_sound(name: str, captured: Capture) -> Finding:
    samples = np.concatenate([chunk.samples for chunk in captured.chunks])
    assessment = assess(samples, RATE_HZ)
    quality, level = assessment.quality, assessment.level_dbfs
    facts = {
        "level_dbfs": None if level is None else round(level, 1),
        "quality": str(quality),
    }
    if quality is Quality.SILENT or captured.health.state is SourceState.SILENT:
        reason, has_cause, hint = captured.health.reason.partition("; ")
        message = f"{captured.source.machine}: {reason}"
        if not has_cause:
            message = f"{name} delivers digital silence"
            hint = "unmute it: `alsamixer`, `pavucontrol`"
        return failed("sound", message, hint, SourceError, **facts)
    if quality is Quality.HUM:
        message, _, hint = DESCRIPTIONS[quality].partition(": ")
        return failed("sound", f"{name} delivers {message}", hint, SourceError, **facts)
    if quality in (Quality.STUCK, Quality.NON_FINITE):
        message = f"{name} delivers no sound ({quality}): its samples are constant or invalid"
        hint = "try another port, cable or microphone"
        return failed("sound", message, hint, SourceError, **facts)
    message = f"{name}: level {level:.1f} dBFS"
    if quality is Quality.CLIPPED:
        hint = "reduce the gain, or move the microphone away from the machine"
        return warning("sound", f"{message}, and too loud: it clips", hint, **facts)
    if quality is Quality.DC:
        hint = "check its power and connection; a high-pass filter of the sound server may help"
        return warning("sound", f"{message}, with a constant offset", hint, **facts)
    if level is not None and level < MIN_LEVEL_DBFS:
        hint = "increase the gain: `alsamixer`, F4"
        return warning("sound", f"{message}, which is very quiet", hint, **facts)
    return ok("sound", message, **facts)


def check_recordings(context: Context) -> list[Finding]:
    """Check that the recordings of the settings exist."""
    from asd_monitor.sources.playlist import find_recordings

    findings = []
    for machine, settings in context.recordings.items():
        try:
            count = len(find_recordings(settings.paths))
        except SourceError as error:
            hint = f"correct machines.{machine}.wav"
            findings.append(failed("recordings", f"{machine}: {error}", hint, SourceError))
        else:
            findings.append(ok("recordings", f"{machine}: {count} recording(s)", count=count))
    return findings
