"""Which microphone each machine uses: found once at the start, and the one it was learned with."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from asd_monitor.config import Config
from asd_monitor.errors import ModelFileError, SourceError
from asd_monitor.runtime.recorded_with import RecordedWith
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.sources.microphone.device_ids import is_stable_id
from asd_monitor.sources.microphone.devices import Microphone, list_microphones
from asd_monitor.sources.microphone.identity import MicrophoneIdentity
from asd_monitor.sources.microphone.selection import (
    AmbiguousDeviceError,
    UnknownDeviceError,
    find_device,
    list_names,
)
from asd_monitor.sources.microphone.settings import MicrophoneSettings

TRAINING_KEY = "microphones"
"""Entry of a model's manifest, in ``training``; absent if the model was learned from files."""

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
    """
    settings = microphone_settings(config)
    present = list_microphones() if settings else []
    return {
        machine: choose_microphone(machine, microphone, present, learned.get(machine, ()))
        for machine, microphone in settings.items()
    }


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
    return _wait_for(settings, learned[-1], f"{settings.device!r} is {found.label} now")


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


def training_entry(
    microphones: Sequence[MicrophoneIdentity],
) -> dict[str, list[dict[str, str]]]:
    """Return the entry of a manifest's ``training`` that names the microphones; else nothing."""
    return {TRAINING_KEY: [known.to_dict() for known in microphones]} if microphones else {}


def learned_with(training: Mapping[str, object]) -> list[MicrophoneIdentity]:
    """Return the microphones that :func:`training_entry` has written into a manifest."""
    values = training.get(TRAINING_KEY)
    found = map(MicrophoneIdentity.from_json, values if isinstance(values, list) else [])
    return [known for known in found if known is not None]


def learned_microphones(
    config: Config, state: StateFolder, machine: str, *, relearn: bool = False
) -> list[MicrophoneIdentity]:
    """Return the microphones that a machine was learned with, or is being learned with.

    They are those of its model, or of its recordings if there is none or ``relearn`` is set.
    A model that cannot be read has none.
    """
    from asd_monitor.model_file import read_manifest

    path = config.machines[machine].model or state.model_path(machine)
    if not relearn and path.exists():
        try:
            return learned_with(read_manifest(path)[0].training)
        except ModelFileError:
            return []
    return RecordedWith(state.recordings_path(machine).parent).microphones


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


def describe_use(
    config: Config, state: StateFolder, machine: str, present: Sequence[Microphone]
) -> str:
    """Return in one sentence which microphone a machine would use now, or why none."""
    settings = microphone_settings(config)[machine]
    learned = learned_microphones(config, state, machine)
    try:
        choice = choose_microphone(machine, settings, present, learned)
    except SourceError as error:
        return str(error)
    channel = "the mean of all channels" if settings.channel == "mean" else settings.channel
    text = f"{describe(choice, settings.device)}, channel {channel}"
    if isinstance(settings.device, int) and choice.microphone is not None:
        text += f"; write `{choice.settings.device}`: an index may mean another one later"
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
