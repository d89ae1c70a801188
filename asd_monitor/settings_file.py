"""Read and validate YAML settings; errors name the file, the line and the key."""

import difflib
import re
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError

from asd_monitor.errors import ConfigError
from asd_monitor.unicode_names import to_nfc

MAX_BYTES = 1_000_000
MAX_ALIASES = 50
MAX_DEPTH = 20
MAX_NODES = 10_000
"""Values of a file in which every alias is replaced by what it names."""

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of a document to a value."""


def _refuse_empty(value: object) -> object:
    if isinstance(value, str) and not value.strip():  # which pathlib takes for the current folder
        raise ValueError("expected a path (or leave the key out)")
    return value


def _expand_user(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:  # there is no such user
        raise ValueError(f"{path}: {error}") from error


Name = Annotated[str, AfterValidator(to_nfc)]
"""A name in settings, in the form in which names are compared."""
SettingsPath = Annotated[Path, BeforeValidator(_refuse_empty), AfterValidator(_expand_user)]
"""A path in settings; ``~`` is the user's home folder, as in a shell."""


OFF_WORDS = frozenset({"off", "no", "none", "null", "false"})
"""Words that turn something off, in any case; YAML reads some of them as False or null."""
ON_WORDS = frozenset({"on", "yes", "true"})


def is_off(word: str) -> bool:
    """Return whether a word turns something off, in the settings and on the command line."""
    return word.strip().casefold() in OFF_WORDS


def _expand_switch(value: object) -> object:
    if value is False or (isinstance(value, str) and is_off(value)):
        return None
    is_on = isinstance(value, str) and value.strip().casefold() in ON_WORDS
    return {} if value is True or is_on else value


OnOff = BeforeValidator(_expand_switch)
"""Accepts ``off``, ``no`` or ``none`` for a section that may be null, ``on`` for an empty one."""

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


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its values, and the line of each key and value."""

    name: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]
    parts: "Mapping[KeyPath, Document]" = field(default_factory=dict)
    """Other documents, from which everything below these paths was taken."""

    def origin(self, path: KeyPath) -> "Document":
        """Return the document from which a value was taken."""
        starts = (path[:length] for length in range(len(path), 0, -1))
        return next((self.parts[start] for start in starts if start in self.parts), self)

    def location(self, path: KeyPath) -> str:
        """Return ``file:line: key.path``, with the line of the deepest existing part."""
        origin = self.origin(path)
        if origin is not self:
            return origin.location(path)
        if not self.lines:
            return f"{self.name}: {format_key_path(path)}" if path else self.name
        existing = path
        while existing and existing not in self.lines:
            existing = existing[:-1]
        line = self.lines.get(existing, 1)
        return f"{self.name}:{line}: {format_key_path(path)}" if path else f"{self.name}:{line}"


_MERGE = "tag:yaml.org,2002:merge"


class _StrictLoader(yaml.SafeLoader):
    """A SafeLoader that refuses duplicate keys, but allows merge keys (``<<: *name``)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; raise an error for a duplicate key."""
        line_of: dict[Hashable, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue
            if key in line_of:
                msg = f"key {key!r} is given twice, first in line {line_of[key]}; keep one"
                raise yaml.constructor.ConstructorError(None, None, msg, key_node.start_mark)
            line_of[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


def read(path: Path, first_key: str = "machines") -> Document:
    """Read a YAML file that has keys at its top.

    Parameters
    ----------
    path
        The file.
    first_key
        A key that errors mention as an example.

    Raises
    ------
    ConfigError
        With file and line, if it cannot be read or parsed.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            msg = f"{path}: expected at most {MAX_BYTES} bytes"
            raise ConfigError(msg)
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{path}: expected UTF-8 text, found byte {error.object[error.start]:#x} at byte "
        raise ConfigError(f"{msg}{error.start}; save the file as UTF-8") from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror}"
        if isinstance(error, PermissionError):
            msg += "; a service runs as its own user: `sudo chmod 644` it, and its folder 755"
        raise ConfigError(msg) from error
    return parse(text, str(path), first_key)


def format_yaml(values: object, **options: Any) -> str:  # noqa: ANN401 - those of PyYAML
    """Return values as YAML that is read back as they are, with readable letters.

    Parameters
    ----------
    values
        Mappings, sequences and scalars.
    **options
        Further arguments of ``yaml.safe_dump``.
    """
    text: str = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, **options)
    # PyYAML writes these line breaks as they are, and reads them back as spaces.
    if any(character in text for character in "\x85\u2028\u2029"):
        text = yaml.safe_dump(values, sort_keys=False, **options)
    return text


def parse(text: str, name: str, first_key: str = "machines") -> Document:
    """Parse YAML text; ``name`` is the name of the file in errors, ``first_key`` as in read."""
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text))
        if aliases > MAX_ALIASES:
            msg = f"{name}: expected at most {MAX_ALIASES} aliases (*name), found {aliases}"
            raise ConfigError(msg)
        node = yaml.compose(text, _StrictLoader)
        if node is not None and _count_nodes(node, {}) > MAX_NODES:
            msg = f"{name}: expected at most {MAX_NODES} values, with aliases (*name) written out"
            raise ConfigError(msg)
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
    lines: dict[KeyPath, int] = {}
    _collect_lines(node, (), lines)
    return Document(name, values, lines)


def _count_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values below a node, each alias counted as what it names.

    ``known`` has the counts of the nodes that were visited; each is visited once.
    """
    if id(node) not in known:
        known[id(node)] = MAX_NODES  # found again below itself: a list that contains itself
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            keys = (key for key, _ in node.value if not isinstance(key, yaml.ScalarNode))
            children = [*keys, *(value for _, value in node.value)]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[id(node)] = 1 + sum(_count_nodes(child, known) for child in children)
    return known[id(node)]


def _collect_lines(node: yaml.Node | None, path: KeyPath, lines: dict[KeyPath, int]) -> None:
    """Add the lines of all keys and values below a node."""
    if node is None or len(path) > MAX_DEPTH:
        return
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            value_path = (*path, key.value)
            lines[value_path] = key.start_mark.line + 1
            _collect_lines(value, value_path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _collect_lines(value, (*path, index), lines)


def merge(document: Document, defaults: Document, by_entry: Collection[str] = ()) -> Document:
    """Return a document in which the sections that are missing are those of another one.

    Parameters
    ----------
    document
        The document that wins.
    defaults
        The other one.
    by_entry
        Sections of which single entries are taken from ``defaults``, if both have the section.
    """
    values, parts = dict(document.values), dict[KeyPath, Document]()
    for key, section in defaults.values.items():
        if key not in values:
            values[key], parts[key,] = section, defaults
        elif key in by_entry and isinstance(values[key], dict) and isinstance(section, dict):
            added = {name: entry for name, entry in section.items() if name not in values[key]}
            values[key] = values[key] | added
            parts |= {(key, name): defaults for name in added}
    return replace(document, values=values, parts=parts)


def format_key_path(path: KeyPath) -> str:
    """Return a path as ``machines.pump.alarm`` or ``wav.paths[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


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
    return isinstance(value, dict) or (value is not None and _expand_switch(value) == {})


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
