"""List settings, and read those of a form, for the page."""

from enum import StrEnum
from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from asd_monitor.config import Config
from asd_monitor.errors import ConfigError
from asd_monitor.settings_file import KeyPath
from asd_monitor.sinks import SINKS
from asd_monitor.web.setup import SettingField

SECTIONS = frozenset({*SINKS, "web"})
"""Sections that can be off."""


def list_fields(section: BaseModel, keys: tuple[str, ...] = ()) -> list[SettingField]:
    """Return the numbers and choices of a section, or those of them that are named."""
    found = []
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        choices = _list_choices(field.annotation)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if (choices or is_number) and (not keys or key in keys):
            text = f"{value:g}" if isinstance(value, float) else str(value)
            found.append(SettingField(key, text, field.description or "", choices))
    return found


def _list_choices(annotation: object) -> tuple[str, ...]:
    """Return the values of a Literal of words or of a StrEnum; empty for another type."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return tuple(str(member) for member in annotation)
    if get_origin(annotation) is Literal:
        return tuple(value for value in get_args(annotation) if isinstance(value, str))
    return ()


def to_number(key: str, text: str) -> float:
    """Return the number of a form; raise ConfigError if it is not one."""
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError as error:
        raise ConfigError(f"{key}: expected a number, found {text[:20]!r}") from error
    return int(value) if value.is_integer() else value


def flatten(config: Config) -> list[tuple[KeyPath, str]]:
    """Return the path and the text of every setting."""
    found: list[tuple[KeyPath, str]] = []

    def visit(path: KeyPath, value: object) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                visit((*path, key), inner)
        elif value is not None or path in [(section,) for section in SECTIONS]:
            found.append((path, _format(value)))

    for key, value in config.model_dump(mode="json").items():
        visit((key,), value)
    return found


def _format(value: object) -> str:
    match value:
        case None:
            return "off"
        case True:
            return "yes"
        case False:
            return "no"
        case list():
            return ", ".join(map(str, value)) or "none"
        case {}:
            return "none"
    return str(value)
