"""Parse YAML settings, and keep the line of each key for errors."""

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from asd_monitor.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_ALIASES = 50
MAX_DEPTH = 20
MAX_NODES = 10_000
"""Values of a file in which every alias is replaced by what it names."""

KeyPath = tuple[str | int, ...]
"""Keys and list indices from the top of a document to a value."""


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
