"""Read YAML strictly: duplicate keys are refused, and every value knows its line."""

import difflib
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError

from asd_monitor.errors import ConfigError

LARGEST_BYTES = 1_000_000
MOST_ALIASES = 50

Path_ = tuple[str | int, ...]


def _not_empty(value: object) -> object:
    if isinstance(value, str) and not value.strip():  # pathlib takes it for the present folder
        raise ValueError("expected a path (or leave the key out)")
    return value


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # pathlib's, where there is no such user
        raise ValueError(f"{path}: {error}") from error


SettingsPath = Annotated[Path, BeforeValidator(_not_empty), AfterValidator(_at_home)]
"""A path in settings; ``~`` is the user's own folder, as in a shell."""

Model = TypeVar("Model", bound=BaseModel)

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


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its values, and the line of each key and value by its path."""

    name: str
    values: dict[str, Any]
    lines: Mapping[Path_, int]

    def place(self, path: Path_) -> str:
        """Return ``file:line: key.path`` for the deepest part of the path that is there."""
        if not self.lines:
            return f"{self.name}: {dotted(path)}" if path else self.name
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line = self.lines.get(known, 1)
        return f"{self.name}:{line}: {dotted(path)}" if path else f"{self.name}:{line}"


_MERGE = "tag:yaml.org,2002:merge"


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys; ``<<: *name`` takes over what a name stands for."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; raise at a key that was there before."""
        seen: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue
            line = key_node.start_mark.line + 1
            if key in seen:
                msg = f"key {key!r} is given twice, first in line {seen[key]}; keep one"
                raise yaml.constructor.ConstructorError(None, None, msg, key_node.start_mark)
            seen[key] = line
        return super().construct_mapping(node, deep)


def read(path: Path, first_key: str = "machines") -> Document:
    """Read a YAML file whose top is a mapping; ``first_key`` is the example of a key in errors.

    Raises
    ------
    ConfigError
        With file and line, for whatever is wrong with it.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            msg = f"{path}: a configuration of over {LARGEST_BYTES} bytes is not read"
            raise ConfigError(msg)
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#x} at byte "
        raise ConfigError(f"{msg}{error.start}; save the file as UTF-8") from error
    except OSError as error:
        msg = f"{path}: the configuration cannot be read: {error.strerror}"
        if isinstance(error, PermissionError):
            msg += "; a service has a user of its own: `sudo chmod 644` it, and its folder 755"
        raise ConfigError(msg) from error
    return parse(text, str(path), first_key)


def parse(text: str, name: str, first_key: str = "machines") -> Document:
    """Parse YAML text; ``name`` stands for the file in error messages."""
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
        if aliases > MOST_ALIASES:
            msg = f"{name}: expected at most {MOST_ALIASES} aliases (*name), found {aliases}"
            raise ConfigError(msg)
        node = yaml.compose(text, _StrictLoader)
        values = yaml.load(text, _StrictLoader)  # noqa: S506 - derives from SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        msg = f"{name}:{line}: {error.problem or error}"
        raise ConfigError(msg) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        msg = f"{name}: not valid YAML: {' '.join(str(error).split())}"
        raise ConfigError(msg) from error
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        msg = f"{name}: expected keys such as '{first_key}:' at the top, found {found}"
        raise ConfigError(msg)
    lines: dict[Path_, int] = {}
    _note_lines(node, (), lines)
    return Document(name, values, lines)


def validate(model: type[Model], document: Document) -> Model:
    """Turn a document into settings; raise ConfigError naming every mistake with its line."""
    try:
        return model.model_validate(document.values)
    except ValidationError as error:
        problems = [_told(document, model, each) for each in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(problems))) from error


def dotted(path: Path_) -> str:
    """Return ``machines.pump.alarm`` or ``sinks[1].port``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _note_lines(node: yaml.Node | None, path: Path_, lines: dict[Path_, int]) -> None:
    if node is None or len(path) > 20:
        return
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, key.value)
            lines[below] = key.start_mark.line + 1
            _note_lines(value, below, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _note_lines(value, (*path, index), lines)


def _told(document: Document, model: type[BaseModel], error: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    path = _document_path(document.values, error["loc"])
    place = document.place(path)
    if error["type"] == "extra_forbidden":
        near = _nearest(str(path[-1]), _keys_at(model, path[:-1]))
        return f"{place}: there is no such key{near}"
    if error["type"] == "missing":
        return f"{place}: this key is needed"
    given, shown = error["input"], repr(error["input"])
    found = f", got {shown}" if len(shown) <= 60 and not isinstance(given, dict) else ""
    if error["type"] == "string_type" and isinstance(given, int | float):
        found += "; put it in quotes"
    return f"{place}: {_plainly(error['type'], error['msg'])}{found}"


def _plainly(kind: str, message: str) -> str:
    """Return pydantic's message without what only a Python programmer knows."""
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}"
    expects = message.startswith("Input should be ")
    message = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{'expected ' if expects else ''}{message}"


def _document_path(values: object, loc: Iterable[str | int]) -> Path_:
    """Keep the parts of a pydantic location that are keys of the document.

    Pydantic puts the names of the members of a union in between.
    """
    path: list[str | int] = []
    parts = list(loc)
    for index, part in enumerate(parts):
        inside = isinstance(values, dict) and part in values
        listed = isinstance(values, list) and isinstance(part, int) and part < len(values)
        if inside or listed:
            values = values[part]  # type: ignore[index]
            path.append(part)
        elif index == len(parts) - 1 and isinstance(values, dict) and "[" not in str(part):
            path.append(part)
    return tuple(path)


def _keys_at(model: type[BaseModel], path: Path_) -> list[str]:
    """Return the keys that a section of the settings may have."""
    found: set[type[BaseModel]] = {model}
    for part in path:
        nested: set[type[BaseModel]] = set()
        for each in found:
            field = each.model_fields.get(str(part))
            nested |= _models_in(field.annotation) if field is not None else set()
        found = nested or found
    return sorted({key for each in found for key in each.model_fields})


def _models_in(annotation: object) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    arguments = getattr(annotation, "__args__", ())
    return {model for argument in arguments for model in _models_in(argument)}


def _nearest(key: str, keys: list[str]) -> str:
    close = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; expected one of: {', '.join(keys)}"
