"""Which microphone each machine uses: found once at the start, and the one it was learned with."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from asd_monitor.config import Config
from asd_monitor.errors import ConfigError, SourceError
from asd_monitor.runtime.learned_microphones import learned_microphones
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sources.microphone.device_ids import SOUND_SERVER_IDS, is_stable_id
from asd_monitor.sources.microphone.devices import Microphone, list_microphones
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.sources.microphone.selection import (
    AmbiguousDeviceError,
    UnknownDeviceError,
    find_device,
    list_names,
)
from asd_monitor.sources.microphone.settings import MicrophoneSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """The microphone of a machine."""

    settings: MicrophoneSettings
    """The settings, with the stable id as the device if it is known."""
    microphone: Microphone | None = None
    """The device; None if it is not connected."""
    note: str = ""
    """What the user must know while the machine is monitored; empty if nothing."""
    missing_hint: str = ""
    """What to do while the microphone is missing, where more can be said than that."""


def choose_microphones(
    config: Config, learned: Mapping[str, Sequence[MicrophoneIdentity]]
) -> dict[str, Choice]:
    """Return the microphone of each machine that has one.

    Parameters
    ----------
    config
        The settings.
    learned
        The microphones that each machine was learned with, where that is known.

    Raises
    ------
    SourceError
        If an index or a name means no microphone or several, or one that the machine was not
        learned with and that the settings do not accept.
    ConfigError
        If machines on one device want it opened at different rates.
    """
    settings = microphone_settings(config)
    present = list_microphones() if settings else []
    return share_devices(
        {
            machine: choose_microphone(machine, microphone, present, learned.get(machine, ()))
            for machine, microphone in settings.items()
        }
    )


def find_choices(config: Config, state: StateFolder, *, relearn: bool = False) -> dict[str, Choice]:
    """Find each machine's microphone now, before a change of the devices renumbers them.

    Parameters
    ----------
    config
        The settings.
    state
        The state folder, which has the models and recordings.
    relearn
        Whether models that exist are replaced.

    Raises
    ------
    SourceError, ConfigError
        As :func:`choose_microphones`.
    """
    settings = microphone_settings(config)
    learned = {
        machine: learned_microphones(config, state, machine, relearn=relearn)
        for machine in settings
    }
    choices = choose_microphones(config, learned)
    for machine, choice in choices.items():
        log_choice(machine, settings[machine], choice)
    return choices


def share_devices(choices: Mapping[str, Choice]) -> dict[str, Choice]:
    """Return the choices with common settings for machines on one device, which is opened once.

    Its buffer is the longest that any of them wants: then no machine loses more than alone.

    Raises
    ------
    ConfigError
        If they want it opened at different rates.
    """
    shared = {}
    for machine, choice in choices.items():
        together = _machines_on(choice.settings.device, choices)
        rates_hz = {choices[name].settings.rate_hz for name in together} - {None}
        if len(rates_hz) > 1:
            wanted = " and ".join(map(str, sorted(filter(None, rates_hz))))
            msg = (
                f"machines {', '.join(together)}: they share microphone "
                f"{choice.settings.device!r}, which is opened once, but their rate_hz are "
                f"{wanted}; give one of them, or leave them out"
            )
            raise ConfigError(msg)
        latency_s = max(choices[name].settings.latency_s for name in together)
        update = {"rate_hz": next(iter(rates_hz), None), "latency_s": latency_s}
        settings = choice.settings.model_copy(update=update)
        shared[machine] = replace(choice, settings=settings)
    return shared


def _machines_on(device: int | str, choices: Mapping[str, Choice]) -> list[str]:
    return [name for name, choice in choices.items() if choice.settings.device == device]


def microphone_settings(config: Config) -> dict[str, MicrophoneSettings]:
    """Return the settings of the machines that have a microphone."""
    return {
        name: machine.source
        for name, machine in config.machines.items()
        if isinstance(machine.source, MicrophoneSettings)
    }


def replace_microphones(config: Config, choices: Mapping[str, Choice]) -> Config:
    """Return the configuration with the chosen microphones."""
    machines = dict(config.machines)
    for name, choice in choices.items():
        machine = machines[name]
        machines[name] = machine.model_copy(update={machine.source_key: choice.settings})
    return config.model_copy(update={"machines": machines})


def accept_microphones(config: Config, ids: Collection[str]) -> Config:
    """Return the configuration in which every machine may use the devices with these ids."""
    choices = {
        machine: Choice(
            settings.model_copy(update={"accept_microphone": (*settings.accept_microphone, *ids)})
        )
        for machine, settings in microphone_settings(config).items()
    }
    return replace_microphones(config, choices)


def choose_microphone(
    machine: str,
    settings: MicrophoneSettings,
    present: Sequence[Microphone],
    learned: Sequence[MicrophoneIdentity],
) -> Choice:
    """Return a machine's microphone; the parameters are as for :func:`choose_microphones`."""
    learned_now = [mic for mic in present if any(known.is_same(mic) for known in learned)]
    try:
        found = find_device(settings.device, present)
    except UnknownDeviceError:
        if not learned:
            if isinstance(settings.device, int) and present:
                raise
            return Choice(settings)
        return _choose_absent(machine, settings, learned)
    except AmbiguousDeviceError:
        if not learned_now:
            raise
        found = learned_now[0]
    pinned = settings.model_copy(update={"device": found.stable_id})
    if not learned or found in learned_now:
        _log_moved_port(machine, found, learned)
        return Choice(pinned, found)
    if _is_accepted(found, settings):
        note = f"learned with {learned[-1].label}; {found.label} is used instead, as accepted"
        return Choice(pinned, found, note)
    if learned_now or is_stable_id(settings.device):
        raise SourceError(_refusal(machine, settings.device, found, learned[-1], learned_now))
    return _wait_for(settings, learned[-1], f"microphone {settings.device} is {found.label} now")


def _log_moved_port(machine: str, found: Microphone, learned: Sequence[MicrophoneIdentity]) -> None:
    """Log that a microphone is at another USB port than when the machine was learned."""
    ports = {known.port for known in learned if known.is_same(found)}
    if ports and found.port not in ports:
        logger.warning(
            "%s: microphone %s was at USB port %s when the machine was learned and is at %s now",
            machine, found.label, " or ".join(sorted(ports)), found.port,
        )  # fmt: skip


def _is_accepted(microphone: Microphone, settings: MicrophoneSettings) -> bool:
    return any(microphone.matches_id(accepted) for accepted in settings.accept_microphone)


def _choose_absent(
    machine: str, settings: MicrophoneSettings, learned: Sequence[MicrophoneIdentity]
) -> Choice:
    """Choose for settings that name no microphone that is there."""
    device = settings.device
    if not is_stable_id(device):
        return _wait_for(settings, learned[-1])
    assert isinstance(device, str)  # noqa: S101  # for the type checker
    for known in learned:
        if device in (known.stable_id, f"{known.stable_id}@{known.port}"):
            return _wait_for(settings, known)
    if device in settings.accept_microphone:
        note = f"learned with {learned[-1].label}; {device!r} is used instead, as accepted"
        return Choice(settings, None, note)
    absent = f"{device!r}, which is not connected"
    raise SourceError(_explain(machine, f"its settings name {absent}", learned[-1], device))


def _wait_for(settings: MicrophoneSettings, known: MicrophoneIdentity, other: str = "") -> Choice:
    """Wait for the microphone that the machine was learned with."""
    hint = f"the machine was learned with {known.label}, which is waited for"
    if other:
        hint += f"; {other}, and is not used instead"
    return Choice(settings.model_copy(update={"device": known.stable_id}), missing_hint=hint)


def _refusal(
    machine: str,
    device: int | str,
    found: Microphone,
    known: MicrophoneIdentity,
    learned_now: Sequence[Microphone],
) -> str:
    named = found.label if is_stable_id(device) else f"{device!r}, which is {found.label} now"
    text = _explain(machine, f"its settings name {named}", known, found.stable_id)
    connected = f"; connected is {list_names(learned_now)}" if learned_now else ""
    return text + connected


def _explain(machine: str, named: str, known: MicrophoneIdentity, other_id: str) -> str:
    return (
        f"{machine}: learned with microphone {known.label}, but {named}. Another microphone "
        "records the machine differently. To use the first, give its id: "
        f"`--mic {known.stable_id}`; to "
        "learn with the second, `asd-monitor learn --fresh`; to use the second with what was "
        f"learned, `--accept-microphone {other_id}` (mic.accept_microphone in the configuration)"
    )


def log_choice(machine: str, named: MicrophoneSettings, choice: Choice) -> None:
    """Log which device a machine's microphone is, and what is unusual about it."""
    if choice.note:
        logger.warning("%s: %s", machine, choice.note)
    elif choice.missing_hint:
        logger.warning("%s: %s", machine, choice.missing_hint)
    elif choice.microphone is not None and not is_stable_id(named.device):
        logger.info(
            "%s: %s; an index or a name may mean another one later, its id does not",
            machine, describe(choice, named.device),
        )  # fmt: skip


def describe_uses(
    config: Config, state: StateFolder, present: Sequence[Microphone]
) -> dict[str, str]:
    """Return for each machine which microphone it would use now, or why none.

    Raises
    ------
    ConfigError
        If machines on one device want it opened at different rates.
    """
    texts, choices = dict[str, str](), dict[str, Choice]()
    for machine, settings in microphone_settings(config).items():
        learned = learned_microphones(config, state, machine)
        try:
            choices[machine] = choose_microphone(machine, settings, present, learned)
        except SourceError as error:
            texts[machine] = str(error)
    choices = share_devices(choices)
    for machine, choice in choices.items():
        others = _machines_on(choice.settings.device, choices)
        others.remove(machine)
        named = microphone_settings(config)[machine].device
        texts[machine] = _describe_use(choice, named, others)
    return texts


def _describe_use(choice: Choice, named: int | str, others: Sequence[str]) -> str:
    settings = choice.settings
    channel = "mean of all channels"
    if settings.channel != "mean":
        channel = f"channel {settings.channel}"
    text = f"{describe(choice, named)}, {channel}"
    if others:
        text += f", captured together with {', '.join(others)}"
    if isinstance(named, int) and choice.microphone is not None:
        text += f"; write `{settings.device}`: an index may mean another one later"
    if settings.device in SOUND_SERVER_IDS:
        text += "; the sound server decides which microphone that is: name the card itself"
    return "; ".join(filter(None, (text, choice.note, choice.missing_hint)))


def describe(choice: Choice, named: int | str) -> str:
    """Return which device a choice is, for users: an index alone says little."""
    microphone = choice.microphone
    if microphone is None:
        return f"microphone {named}: not connected now"
    named_by_id = microphone.matches_id(str(named))
    text = (
        f"microphone {microphone.label}"
        if named_by_id
        else (f"microphone {named} is {microphone.label}")
    )
    return f"{text}, {microphone.unavailable}" if microphone.unavailable else text
