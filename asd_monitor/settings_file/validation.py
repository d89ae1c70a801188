"""Validate a document as settings, with an error for every wrong key."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from asd_monitor.errors import ConfigError
from asd_monitor.settings_file.document import Document, KeyPath
from asd_monitor.settings_file.fields import expand_switch

Model = TypeVar("Model", bound=BaseModel)

_CREDENTIALS = re.compile(r"\S*[^\s'\"]@")

_EXPECTED = {
    "dict_type": "keys with values below it",
    "model_type": "keys with values below it",
    "path_type": "a path",
    "string_type": "text",
    "string_too_short": "text, found none",
    "too_short": "at least one entry",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
}
"""What is expected, in words for users, by the type of pydantic's error."""


def validate(model: type[Model], document: Document) -> Model:
    """Validate a document as settings.

    Raises
    ------
    ConfigError
        With one line for every error, each with its location.
    """
    booleans = dict(_misplaced_booleans(document.values, [model]))
    messages = [f"{document.location(path)}: {text}" for path, text in booleans.items()]
    try:
        validated = model.model_validate(document.values)
    except ValidationError as error:
        for details in error.errors():
            path = _find_document_path(document.values, details["loc"])
            if path not in booleans:
                messages.append(_format_error(document, model, path, details))
        raise ConfigError("\n".join(dict.fromkeys(messages))) from error
    if messages:
        raise ConfigError("\n".join(messages))
    return validated


def _misplaced_booleans(
    values: object, annotations: Sequence[object], path: KeyPath = ()
) -> Iterator[tuple[KeyPath, str]]:
    """Yield booleans where only a number is expected, which pydantic would convert to 0 or 1."""
    types = [kind for annotation in annotations for kind in _alternatives(annotation)]
    if isinstance(values, bool):
        names = {int: "a whole number", float: "a number", str: "text"}
        expected = [name for kind, name in names.items() if kind in types]
        expected += [repr(kind) for kind in types if type(kind) in (int, str)]
        if bool not in types and any(kind in (int, float) or type(kind) is int for kind in types):
            hint = "; if it is a name, put it in quotes" if str in types else ""
            yield path, f"expected {' or '.join(expected)}, got {values}{hint}"
    elif isinstance(values, dict):
        for key, value in values.items():
            below = [inner for kind in types for inner in _types_below(kind, key)]
            yield from _misplaced_booleans(value, below, (*path, key))
    elif isinstance(values, list):
        inner = [argument for kind in types for argument in get_args(kind)]
        for index, value in enumerate(values):
            yield from _misplaced_booleans(value, inner, (*path, index))


def _alternatives(annotation: object) -> Iterator[object]:
    """Yield the members of a union, and the values of a Literal."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _alternatives(arguments[0])
    elif origin in (Union, UnionType):
        for argument in arguments:
            yield from _alternatives(argument)
    elif origin is Literal:
        yield from arguments
    else:
        yield annotation


def _types_below(kind: object, key: object) -> Iterator[object]:
    """Yield the annotations of a key of a section, or of the values of a dict."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if key in kind.model_fields:
            yield kind.model_fields[str(key)].annotation
    elif get_origin(kind) is dict:
        yield get_args(kind)[1]


def _format_error(
    document: Document,
    model: type[BaseModel],
    path: KeyPath,
    details: Any,  # noqa: ANN401 - pydantic's ErrorDetails
) -> str:
    location = document.location(path)
    if details["type"] == "extra_forbidden":
        hint = _suggest_key(str(path[-1]), _list_keys(model, path[:-1]))
        return f"{location}: there is no such key{hint}"
    if details["type"] == "missing":
        return f"{location}: this key is required"
    value = details["input"]
    if isinstance(value, str):
        value = mask_credentials(value)
    found = "" if isinstance(value, dict) or len(repr(value)) > 60 else f", got {value!r}"
    if details["type"] == "string_type" and isinstance(value, int | float):
        found += "; put it in quotes"
    message = mask_credentials(_format_message(details["type"], details["msg"]))
    return f"{location}: {message}{found}"


def mask_credentials(text: str) -> str:
    """Replace what is before an ``@``, as in ``user:password@host``, which may be a password."""
    return _CREDENTIALS.sub("***@", text)


def _format_message(kind: str, message: str) -> str:
    """Return a message of pydantic in words for users."""
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    prefix = "expected " if message.startswith("Input should be ") else ""
    return prefix + message.removeprefix("Value error, ").removeprefix("Input should be ")


def _find_document_path(values: object, loc: Iterable[str | int]) -> KeyPath:
    """Return the parts of a pydantic location that are keys or indices of the document.

    The other parts are members of unions.
    """
    path: list[str | int] = []
    parts = list(loc)
    for index, part in enumerate(parts):
        is_key = isinstance(values, dict) and part in values
        is_index = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if is_key or is_index:
            values = values[part]  # type: ignore[index]
            path.append(part)
        elif index == len(parts) - 1 and _may_have_keys(values) and "[" not in str(part):
            path.append(part)  # a missing key
    return tuple(path)


def _may_have_keys(value: object) -> bool:
    """Return whether a value is a section, or a word for an empty one."""
    return isinstance(value, dict) or (value is not None and expand_switch(value) == {})


def _list_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys that are allowed in a section of the settings."""
    sections: set[type[BaseModel]] = {model}
    for part in path:
        nested: set[type[BaseModel]] = set()
        for section in sections:
            field = section.model_fields.get(str(part))
            nested |= _find_models(field.annotation) if field is not None else set()
        sections = nested or sections  # a name, as that of a machine, is not a field
    return sorted({key for section in sections for key in section.model_fields})


def _find_models(annotation: object) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    arguments = getattr(annotation, "__args__", ())
    return {model for argument in arguments for model in _find_models(argument)}


def _suggest_key(key: str, keys: list[str]) -> str:
    similar = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    return f"; did you mean {similar[0]!r}?" if similar else f"; expected one of: {', '.join(keys)}"
