"""Commands as small JSON objects, as they arrive over MQTT."""

import unicodedata
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from asd_monitor.errors import ConfigError
from asd_monitor.history.records import VERDICT_KINDS, NoteKind
from asd_monitor.judging import actions
from asd_monitor.judging.actions import Outcome
from asd_monitor.judging.store import MAX_TEXT, MAX_WHO, Author, JudgingStore

Action = Literal["ack", "normal", "fault", "unsure", "comment", "shelve", "maintenance", "unshelve"]
MAX_MINUTES = actions.MAX_SHELF_S / 60


class CommandMessage(BaseModel):
    """The content of a command; unknown members are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    do: Action
    """What to do."""
    who: str = Field(default="mqtt", min_length=1, max_length=MAX_WHO)
    """Name of the person."""
    event: str = Field(default="", max_length=100)
    """Id of the event; by default all events of the machine for `ack`, the newest for others."""
    comment: str = Field(default="", max_length=MAX_TEXT)
    """Comment, or the reason of a shelf."""
    minutes: float = Field(default=60.0, gt=0, le=MAX_MINUTES)
    """How long a shelf or a maintenance lasts."""

    @field_validator("who", "event", "comment")
    @classmethod
    def _check_text(cls, text: str) -> str:
        if any(unicodedata.category(char) == "Cc" and char not in "\n\t" for char in text):
            raise ValueError("expected text without control characters")
        return text


@dataclass(frozen=True, slots=True)
class Command:
    """A command for a machine."""

    machine: str
    message: CommandMessage


@dataclass(frozen=True, slots=True)
class Refusal:
    """A command that was refused before it was understood."""

    machine: str
    reason: str


def parse_command(machine: str, payload: bytes) -> Command:
    """Return the command of a payload; raise ConfigError if it is none."""
    try:
        return Command(machine, CommandMessage.model_validate_json(payload))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{where}: {first['msg']}" if where else first["msg"]) from error


def execute(store: JudgingStore, command: Command, via: str) -> Outcome:
    """Do what a command asks for.

    Raises
    ------
    ConfigError
        If the machine or the event does not exist, or the event is of another machine.
    StateError
        If it cannot be written.
    """
    message, machine = command.message, command.machine
    author = Author(message.who, via)
    if message.do in ("shelve", "maintenance"):
        until_s = store.clock() + 60 * message.minutes
        kind = NoteKind(message.do)
        return actions.shelve(store, author, machine, until_s, message.comment, kind)
    if message.do == "unshelve":
        return actions.unshelve(store, author, machine)
    if message.do == "ack" and not message.event:
        return actions.acknowledge_machine(store, author, machine, message.comment)
    event_id = _find_event(store, machine, message.event)
    if message.do == "ack":
        return actions.acknowledge(store, author, event_id, message.comment)
    if message.do == "comment":
        return actions.comment(store, author, event_id, message.comment)
    kind = NoteKind(message.do)
    assert kind in VERDICT_KINDS  # noqa: S101 - all others are handled above
    return actions.judge(store, author, event_id, kind, message.comment)


def _find_event(store: JudgingStore, machine: str, event_id: str) -> str:
    machine = store.find_machine(machine)
    if not event_id:
        newest = store.reader.events(machine, limit=1)
        if not newest:
            raise ConfigError(f"{machine} has no event")
        return newest[0].id
    event = store.event(event_id)
    if event.machine != machine:
        raise ConfigError(f"event {event_id} is of {event.machine}, not of {machine}")
    return event_id
