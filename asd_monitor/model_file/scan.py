"""Read the code of a model file without running it, and refuse what no model needs.

TorchScript's code in an archive is text in a small part of Python's syntax, and its values are
pickles. Only operators of a list are allowed, which touch neither files nor memory that is not
their own; classes may not define the methods that torch calls while it loads. This is the second
line of defence, after the signature.
"""

import ast
import pickletools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asd_monitor.errors import ModelFileError
from asd_monitor.model_file.operators import (
    BUILTINS,
    FORBIDDEN,
    OPERATORS,
    PICKLE_OPCODES,
    PICKLED,
    PRIMITIVES,
    TYPES,
)
from asd_monitor.model_file.python_compiler import COMPILING

MAX_CODE_BYTES = 20_000_000
SCAN_VERSION = 2
"""Of the rules here; what an earlier version has accepted is scanned again."""

_NAMESPACES = frozenset(("torch", "ops", "CONSTANTS", "__torch__"))
_CLASS_LISTS = frozenset(("__parameters__", "__buffers__", "__annotations__", "__constants__"))
_MEMBER = re.compile(
    r"code/[\w/]+\.py(\.debug_pkl)?|(data|constants)\.pkl|(data|constants)/\d+|extra/[^/]+"
    r"|(measure|voices|forward|evidence)_\d{1,4}\.onnx|onnx\.data"
    r"|(\.data/)?version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id"
)
_STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_SYNTAX = (
    ast.AnnAssign, ast.Assert, ast.Assign, ast.AugAssign, ast.BinOp, ast.BoolOp, ast.Break,
    ast.Call, ast.ClassDef, ast.Compare, ast.Constant, ast.Continue, ast.Dict, ast.Expr, ast.For,
    ast.FunctionDef, ast.If, ast.IfExp, ast.List, ast.Module, ast.Name, ast.Attribute, ast.Pass,
    ast.Raise, ast.Return, ast.Slice, ast.Starred, ast.Subscript, ast.Tuple, ast.UnaryOp, ast.While,
    ast.arg, ast.arguments, ast.boolop, ast.cmpop, ast.expr_context, ast.keyword, ast.operator,
    ast.unaryop,
)  # fmt: skip


@dataclass(slots=True)
class _Declared:
    """What the code of an archive defines."""

    paths: set[str] = field(default_factory=set)
    """Of classes and functions: ``__torch__.package.module.Class``."""
    names: set[str] = field(default_factory=set)
    """Of methods, functions and attributes."""


def scan(members: Mapping[str, bytes], names: list[str], where: Path) -> None:
    """Raise ModelFileError if a model file has code that no model of this program needs.

    Parameters
    ----------
    members
        Content of the members with code and pickles, by their name in the archive.
    names
        The names of all members.
    where
        The file, for errors.

    Raises
    ------
    ModelFileError
        With the name of the operator and its place in the archive.
    """
    _check_names(names, where)
    trees = dict(_parse(members, where))
    declared = _Declared()
    for name, tree in trees.items():
        _declare(name, tree, declared, where)
    for name, tree in trees.items():
        _check_code(name, tree, declared, where)
    for name, content in members.items():
        if name.endswith("pkl"):
            _check_pickle(name, content, declared, where)


def is_scanned(name: str) -> bool:
    """Return whether the content of a member is needed for :func:`scan`."""
    return name.endswith((".py", "pkl"))


def _refuse(where: Path, place: str, what: str) -> ModelFileError:
    return ModelFileError(
        f"{where}: {place}: {what}; a model file of asd-monitor needs nothing of that kind, so it "
        "is not loaded"
    )


def _check_names(names: list[str], where: Path) -> None:
    roots = {name.partition("/")[0] for name in names if "/" in name}
    for name in names:
        rest = name.partition("/")[2]
        if name != "integrity.json" and (len(roots) != 1 or not _MEMBER.fullmatch(rest)):
            raise _refuse(where, name, "an unexpected member")


def _parse(members: Mapping[str, bytes], where: Path) -> Iterator[tuple[str, ast.Module]]:
    total = 0
    for name, content in members.items():
        if not name.endswith(".py"):
            continue
        total += len(content)
        if total > MAX_CODE_BYTES:
            raise _refuse(where, name, f"more than {MAX_CODE_BYTES} bytes of code")
        _check_text(name, content, where)
        try:
            with COMPILING:
                tree = ast.parse(content)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _refuse(where, name, f"code that cannot be read: {error}") from error
        yield name, tree


def _check_text(name: str, content: bytes, where: Path) -> None:
    """Refuse text that Python and torch could divide differently into code, comments and texts."""
    if any(byte != 10 and not 32 <= byte < 127 for byte in content):
        raise _refuse(where, name, "code with unusual characters")
    for number, line in enumerate(content.decode().split("\n"), 1):
        rest = _STRING.sub(" ", line)
        if found := next((character for character in "\"'#\\`;" if character in rest), ""):
            raise _refuse(where, f"{name}, line {number}", f"unexpected {found!r} in code")
        if '"""' in line:
            raise _refuse(where, f"{name}, line {number}", "a text of several lines in code")


def _declare(name: str, tree: ast.Module, declared: _Declared, where: Path) -> None:
    module = name.partition("/code/")[2].removesuffix(".py").replace("/", ".")
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            declared.paths.add(f"{module}.{statement.name}")
    for node in ast.walk(tree):
        for text in _declared_names(node):
            place = f"{name}, line {getattr(node, 'lineno', 1)}"
            if text in FORBIDDEN or text in _NAMESPACES:
                raise _refuse(where, place, f"it defines {text}")
            declared.names.add(text)


def _declared_names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        yield node.target.id
    elif (
        isinstance(node, ast.Subscript)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.slice, ast.Constant)
        and isinstance(node.slice.value, str)
    ):
        yield node.slice.value


def _check_code(name: str, tree: ast.Module, declared: _Declared, where: Path) -> None:
    local = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    local |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    local |= {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    checker = _Checker(name, where, declared, local)
    for text in local & (_NAMESPACES | BUILTINS):
        raise checker.refuse(tree, f"it defines {text}")
    checker.visit(tree)


class _Checker(ast.NodeVisitor):
    """Check each name in the code of a member."""

    def __init__(self, name: str, where: Path, declared: _Declared, local: set[str]) -> None:
        self._name = name
        self._where = where
        self._declared = declared
        self._known = local | BUILTINS | TYPES | _CLASS_LISTS

    def refuse(self, node: ast.AST, what: str) -> ModelFileError:
        line = getattr(node, "lineno", 1)
        return _refuse(self._where, f"{self._name}, line {line}", what)

    def generic_visit(self, node: ast.AST) -> None:
        if not isinstance(node, _SYNTAX):
            raise self.refuse(node, f"it contains a {type(node).__name__}")
        super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id not in self._known:
            raise self.refuse(node, f"it uses {node.id}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        parts, root = [node.attr], node.value
        while isinstance(root, ast.Attribute):
            parts.insert(0, root.attr)
            root = root.value
        if isinstance(root, ast.Name) and root.id in _NAMESPACES:
            self._check_path(node, root.id, ".".join(parts))
            return
        for part in parts:
            self._check_attribute(node, part)
        self.visit(root)

    def _check_path(self, node: ast.AST, root: str, path: str) -> None:
        full = f"{root}.{path}"
        is_allowed = {
            "torch": path in OPERATORS,
            "ops": path in PRIMITIVES,
            "CONSTANTS": re.fullmatch(r"c\d+", path) is not None,
            "__torch__": full in self._declared.paths and not path.startswith("torch.classes."),
        }[root]
        if not is_allowed:
            raise self.refuse(node, f"it uses {full}")

    def _check_attribute(self, node: ast.AST, name: object) -> None:
        if name not in self._declared.names:
            raise self.refuse(node, f"it uses .{name}")

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            name = node.args[-1] if node.args else None
            self._check_attribute(node, name.value if isinstance(name, ast.Constant) else "?")
        self.generic_visit(node)


def _check_pickle(name: str, content: bytes, declared: _Declared, where: Path) -> None:
    try:
        for opcode, argument, position in pickletools.genops(content):
            place = f"{name}, byte {position}"
            if opcode.name not in PICKLE_OPCODES:
                raise _refuse(where, place, f"the pickle opcode {opcode.name}")
            if opcode.name != "GLOBAL" or argument in PICKLED:
                continue
            path = str(argument).replace(" ", ".")
            if path not in declared.paths or path.startswith("__torch__.torch.classes."):
                raise _refuse(where, place, f"it creates {str(argument)[:100]!r}")
    except (ValueError, UnicodeError, IndexError) as error:
        raise _refuse(where, name, f"a pickle that cannot be read: {error}") from error
