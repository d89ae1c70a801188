"""What the set-up and settings pages do in a running monitor."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from asd_monitor.config import Config, from_part
from asd_monitor.errors import AsdMonitorError, ConfigError
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.runtime import sensitivity
from asd_monitor.runtime.machine_addition import RunningMachines
from asd_monitor.runtime.microphones import microphone_settings
from asd_monitor.runtime.page_broker import (
    PASSWORD_FILE,
    save_password,
    try_broker,
    validate_mqtt,
)
from asd_monitor.runtime.page_recipients import list_recipients, make_notify, try_recipient
from asd_monitor.runtime.page_settings import PageSettings
from asd_monitor.runtime.reconfiguration import Reconfiguration
from asd_monitor.runtime.settings_listing import flatten, list_fields, to_number
from asd_monitor.settings_file import Document, format_key_path
from asd_monitor.sinks.notify.settings import NotifySettings
from asd_monitor.sources.microphone.device_capture import DeviceCapture
from asd_monitor.sources.microphone.source import MicrophoneSource
from asd_monitor.sources.rate_conversion import original
from asd_monitor.unicode_names import derive_id, to_nfc
from asd_monitor.web.setup import (
    CheckStep,
    MachineDetails,
    MachineDraft,
    SettingField,
    SettingValue,
    UsedInput,
)

logger = logging.getLogger(__name__)

SECRETS = frozenset({("notify", "to")})
"""Settings whose values are not shown: addresses may contain passwords."""
EXCHANGEABLE = frozenset({"mqtt", "notify"})
"""Sinks that are exchanged by themselves, so that one that cannot be used is refused."""
NAMED_ON_COMMAND_LINE = (
    "This run monitors only the machines that its command line names. Start `asd-monitor run` "
    "without --mic, --wav and --machine to add machines here."
)


class PageSetup:
    """Implements :class:`asd_monitor.web.setup.Setup`.

    Parameters
    ----------
    settings
        The settings of the configuration and of the page.
    machines
        The machines of the running monitor.
    history
        Its history; None if it is off.
    """

    def __init__(
        self, settings: PageSettings, machines: RunningMachines, history: HistoryWriter | None
    ) -> None:
        self._settings = settings
        self._machines = machines
        self._history = history

    @property
    def refusal(self) -> str:
        """Why no machine can be added on pages; empty if they can."""
        return "" if self._settings.with_machines else NAMED_ON_COMMAND_LINE

    @property
    def needs_restart(self) -> bool:
        """Whether settings were saved that the running monitor does not use yet."""
        return bool(self._machines.needs_restart)

    def inputs_in_use(self) -> list[UsedInput]:
        """Return the inputs that machines use."""
        channels = {}
        for pipeline in self._machines.builder.monitor.pipelines:
            source = original(pipeline.source)
            if isinstance(source, MicrophoneSource):
                channels[pipeline.machine] = source.device_channels or 0
        settings = microphone_settings(self._machines.config)
        return [
            UsedInput(str(each.device), each.channel, machine, channels.get(machine, 0))
            for machine, each in settings.items()
        ]

    def capture_of(self, device: str) -> DeviceCapture | None:
        """Return the capture of a device that a machine uses; None for one in no use."""
        used = microphone_settings(self._machines.config).values()
        settings = next((each for each in used if each.device == device), None)
        return None if settings is None else self._machines.builder.captures.of(settings)

    def find_id(self, name: str) -> str:
        """Return the id of a machine to be added."""
        name = to_nfc(name).strip()
        if not name:
            raise ConfigError("Give the machine a name.")
        id_ = derive_id(name)
        known = [*self._machines.config.machines, *self._settings.load().machines]
        if id_.casefold() in {other.casefold() for other in known}:
            raise ConfigError(f"There is a machine with the id {id_} already: use another name.")
        return id_

    def check(self, draft: MachineDraft) -> None:
        """Raise AsdMonitorError if the machine could not be added."""
        if self.refusal:
            raise ConfigError(self.refusal)
        values = {"machines": {self.find_id(draft.name): _make_section(draft)}}
        from_part(Document("this page", values, {}))
        for used in self.inputs_in_use():
            if used.device == draft.device and used.covers(draft.channel):
                raise ConfigError(f"This microphone is used by {used.machine}: choose another one.")

    def add_machine(self, draft: MachineDraft) -> str:
        """Save a machine, add it to the running monitor, and return its id."""
        self.check(draft)
        id_ = self.find_id(draft.name)

        def insert(values: dict[str, Any]) -> None:
            values.setdefault("machines", {})[id_] = _make_section(draft)

        with self._machines.lock:  # a reload meanwhile would add it as well
            config = self._settings.change(insert)
            try:
                self._machines.add(config, id_)
            except AsdMonitorError:
                with suppress(AsdMonitorError):  # the first error is the one to report
                    self._settings.change(lambda values: values["machines"].pop(id_))
                raise
        return id_

    def pause_learning(self, machine: str, *, pause: bool) -> None:
        """Pause or continue learning a machine."""
        commissioning = self._machines.builder.monitor.commissioning(machine)
        if commissioning is not None:
            commissioning.pause() if pause else commissioning.resume()

    def is_learning(self, machine: str) -> bool:
        """Return whether a machine is being learned."""
        return self._machines.builder.monitor.commissioning(machine) is not None

    def is_paused(self, machine: str) -> bool:
        """Return whether learning a machine is paused."""
        commissioning = self._machines.builder.monitor.commissioning(machine)
        return commissioning is not None and commissioning.is_paused

    def machines(self) -> dict[str, MachineDetails]:
        """Return the machines of the settings, by id."""
        return {
            id_: MachineDetails(
                name=machine.name or id_,
                kind=machine.kind or "",
                place=machine.place or "",
                source=machine.source.description,
                is_fixed=self._settings.is_fixed(("machines", id_)),
            )
            for id_, machine in self._settings.load().machines.items()
        }

    def about(self, machine: str) -> str:
        """Return kind and place of a machine; empty if neither is known."""
        return self._machines.about.get(machine, "")

    def change_machine(self, machine: str, *, name: str, kind: str, place: str) -> None:
        """Save what people see of a machine; the running monitor uses it at once."""

        def change(values: dict[str, Any]) -> None:
            section = values["machines"][machine]
            for key, value in {"name": name, "kind": kind, "place": place}.items():
                section.pop(key, None)
                if value.strip():
                    section[key] = to_nfc(value).strip()

        self._check_owned(machine)
        config = self._settings.change(change)
        if machine in self._machines.names:
            self._machines.describe(config, machine)

    def remove_machine(self, machine: str) -> None:
        """Remove a machine from the settings, and end monitoring it."""
        self._check_owned(machine)
        with self._machines.lock:
            self._settings.change(lambda values: values["machines"].pop(machine))
            if machine in self._machines.config.machines:
                self._machines.remove(machine)

    def _check_owned(self, machine: str) -> None:
        if machine not in self._settings.load().machines or self._settings.is_fixed(
            ("machines", machine)
        ):
            raise ConfigError(f"{machine}: the configuration has this machine: change it there.")

    def fixed_sections(self) -> list[str]:
        """Return the sections that the configuration sets, so that pages cannot."""
        return [key for key in type(self._machines.config).model_fields
                if self._settings.is_fixed((key,))]  # fmt: skip

    def section(self, name: str) -> dict[str, Any]:
        """Return the values of a section; empty if it is off."""
        section = getattr(self._settings.load(), name)
        return section.model_dump(mode="json") if isinstance(section, BaseModel) else {}

    def fields(self, name: str, keys: Sequence[str] = ()) -> list[SettingField]:
        """Return the numbers and choices of a section, or those of them that are named."""
        section = getattr(self._settings.load(), name)
        if not isinstance(section, BaseModel):
            return []
        return list_fields(section, tuple(keys))

    def save_fields(self, name: str, values: Mapping[str, str]) -> None:
        """Save numbers and choices of a section, and use them."""
        known = {field.key: field for field in self.fields(name)}
        converted = {
            key: text if known[key].choices else to_number(key, text)
            for key, text in values.items()
            if key in known and text.strip() != known[key].value
        }
        if converted:
            self.save_section(name, self._page_section(name) | converted)

    def sensitivities(self) -> dict[str, str]:
        """Return the words for the sensitivity of the alarm, and what they mean."""
        return sensitivity.MEANINGS

    def sensitivity(self) -> str:
        """Return the sensitivity of the alarm in a word."""
        return sensitivity.find_word(self._settings.load().alarm)

    def save_sensitivity(self, word: str) -> None:
        """Save the sensitivity of the alarm, and use it."""
        if word != self.sensitivity():
            others = self._page_section("alarm")
            self.save_section("alarm", sensitivity.apply_word(word, others))

    def _page_section(self, name: str) -> dict[str, Any]:
        """Return what the page has set of a section."""
        section = self._settings.page_values().get(name)
        return dict(section) if isinstance(section, dict) else {}

    def recipients(self) -> list[str]:
        """Return who is notified, without what is secret in the addresses."""
        settings = self._settings.load().sink_settings(NotifySettings)
        return [] if settings is None else list_recipients(settings)

    def check_recipient(self, address: str) -> list[CheckStep]:
        """Send a test message to an address."""
        return try_recipient(address, self._machines.config.node)

    def add_recipient(self, address: str) -> None:
        """Save an address that is notified from now on."""
        from asd_monitor.sinks.notify.sink import make_targets

        make_targets(make_notify([address]))  # raises for one that cannot be used
        section = self._page_section("notify")
        self.save_section("notify", section | {"to": [*section.get("to", []), address]})

    def remove_recipient(self, number: int) -> None:
        """Remove an address, counted from 0."""
        section = self._page_section("notify")
        addresses = list(section.get("to", []))
        if not 0 <= number < len(addresses):
            raise ConfigError("There is no such address any more.")
        del addresses[number]
        self.save_section("notify", section | {"to": addresses} if addresses else None)

    def save_section(self, name: str, values: Mapping[str, Any] | None) -> None:
        """Save values of a section and use them; None turns it off.

        The few settings that are read at the start only are then in ``needs_restart``.
        """
        if self._settings.is_fixed((name,)):
            raise ConfigError(f"{name}: the configuration has this section: change it there.")

        before = self._settings.page_values()
        config = self._settings.change(
            lambda content: content.update({name: None if values is None else dict(values)})
        )
        try:
            self._use(name, config)
        except AsdMonitorError:

            def restore(content: dict[str, Any]) -> None:
                content.pop(name)
                content.update({name: before[name]} if name in before else {})

            self._settings.change(restore)
            raise

    def _use(self, name: str, config: Config) -> None:
        """Use a saved section in the running monitor, between two windows."""
        if name in EXCHANGEABLE:
            self._machines.exchange_sink(name, config.sinks.get(name))
            return
        with self._machines.lock:
            work = Reconfiguration(self._machines, self._history, config)
            work.apply()
        for change in work.changes:
            logger.info("changed on the page: %s", change)
        if work.problems:
            raise ConfigError("; ".join(work.problems))

    def check_mqtt(self, values: Mapping[str, Any], password: str | None) -> list[CheckStep]:
        """Try a broker; None: with the saved password."""
        return try_broker(values, password, self._password_path, self._machines.config.node)

    def save_mqtt(self, values: Mapping[str, Any] | None, password: str | None) -> None:
        """Save the broker and use it; None for ``values``: publish nothing."""
        if values is None:
            self.save_section("mqtt", None)
            return
        section = dict(values)
        if "username" in section:
            if password:
                save_password(self._password_path, password)
            if self._password_path.exists():
                section["password_file"] = str(self._password_path)
        validate_mqtt(section)
        self.save_section("mqtt", section)

    @property
    def _password_path(self) -> Path:
        return self._machines.builder.state.root / PASSWORD_FILE

    def describe(self) -> list[SettingValue]:
        """Return all settings with their origins."""
        config = self._settings.load()
        rows = []
        origins = self._settings.origins([path for path, _ in flatten(config)])
        for path, value in flatten(config):
            text = "(hidden)" if path[:2] in SECRETS else value
            origin = origins[path]
            rows.append(SettingValue(format_key_path(path), text, origin.kind, origin.place))
        return rows


def _make_section(draft: MachineDraft) -> dict[str, Any]:
    """Return the section of a machine, as in the configuration file."""
    name = to_nfc(draft.name).strip()
    section: dict[str, Any] = {} if derive_id(name) == name else {"name": name}
    for key, value in (("kind", draft.kind), ("place", draft.place)):
        if value.strip():
            section[key] = to_nfc(value).strip()
    return section | {
        "mic": {"device": draft.device, "channel": draft.channel},
        "learn": {"minutes": draft.minutes},
    }
