"""Separate the tensors of a model file from its program: code, constants, and all other attributes.

Two files with the same outline differ in the values and sizes of tensors only, so that they can be
run by one compiled program.
"""

import hashlib
import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_MANGLED = re.compile(r"___torch_mangle_\d+")
_STRING = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"')
_TAGS = "torch.jit._pickle "
_CODE = re.compile(r"[^/]+/(code/.*\.py|constants\.pkl|constants/\d+|version)")
_KINDS = {
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ShortStorage": "int16",
}
"""Name of the torch dtype of each kind of storage that can be read here."""


class UnusualFileError(Exception):
    """The file has something that cannot be compared here; torch alone can load it."""


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """The memory of tensors, which several of them may share."""

    member: str
    """Its name in the archive."""
    dtype: str
    """Name of the torch dtype of its elements."""
    elements: int


@dataclass(frozen=True, slots=True, eq=False)
class TensorRecord:
    """A tensor as the file describes it; offset and strides are in elements."""

    storage: Storage
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool


class Placement(NamedTuple):
    """Where a tensor belongs."""

    module: str
    """Path of the module, as of ``get_submodule``."""
    name: str
    tensor: TensorRecord


@dataclass(frozen=True, slots=True)
class Outline:
    """What a model file consists of."""

    key: str
    """Hash of everything but the values and sizes of tensors."""
    tensors: tuple[Placement, ...]


class _Instance:
    """An object of a class that the code defines, with its attributes."""

    path = ""
    state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


def read_outline(archive: zipfile.ZipFile) -> Outline:
    """Compute the outline of a model file without running anything of it.

    Raises
    ------
    UnusualFileError
        If it has a tensor that is not a direct attribute of an object, or values of a kind that is
        not known here.
    """
    names = archive.namelist()
    root = names[0].partition("/")[0]
    if archive.read(f"{root}/byteorder") != b"little":
        raise UnusualFileError("values in another byte order")
    values = _Reader(archive.read(f"{root}/data.pkl"), f"{root}/data").read()
    digest, rename = hashlib.sha256(), _Renaming()
    for name in names:
        if not _CODE.fullmatch(name):
            continue
        content = archive.read(name)
        if name.endswith(".py"):
            content = rename.in_code(content.decode()).encode()
        name = rename.in_code(name.partition("/")[2])
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    description = _Description(rename)
    for part in description.describe(values, ""):
        digest.update(part.encode() + b"\n")
    return Outline(digest.hexdigest(), tuple(description.tensors))


class _Renaming:
    """Number the names that torch made unique, whose numbers depend on what else it compiled."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def in_code(self, text: str) -> str:
        """Replace the names in code."""
        if any(_MANGLED.search(string[0]) for string in _STRING.finditer(text)):
            raise UnusualFileError("a text that looks like a name made by torch")
        return _MANGLED.sub(self._replace, text)

    def _replace(self, found: re.Match[str]) -> str:
        return f"___mangle_{self._numbers.setdefault(found[0], len(self._numbers))}"


class _Reader(pickle.Unpickler):
    """Read ``data.pkl`` into records; it calls nothing but the functions of this module."""

    def __init__(self, content: bytes, folder: str) -> None:
        super().__init__(io.BytesIO(content))
        self._folder = folder
        self._classes: dict[str, type] = {}
        self._storages: dict[str, Storage] = {}

    def read(self) -> object:
        """Return the root object."""
        try:
            return self.load()
        except (pickle.UnpicklingError, ValueError, TypeError, EOFError, LookupError) as error:
            raise UnusualFileError(f"values that cannot be read: {error}") from error

    def find_class(self, module: str, name: str) -> object:
        """Return a placeholder for a global of the pickle."""
        path = f"{module} {name}"
        if module.startswith("__torch__"):
            return self._classes.setdefault(path, type("_Named", (_Instance,), {"path": path}))
        if path == "collections OrderedDict":
            return OrderedDict
        if path == "torch._utils _rebuild_tensor_v2":
            return _record_tensor
        if module == "torch" and name in _KINDS:
            return _KINDS[name]
        if path.startswith(_TAGS) and name != "build_tensorlist":
            return _make_tagger(name)
        raise UnusualFileError(f"a value of the kind {path}")

    def persistent_load(self, pid: object) -> Storage:
        """Return the storage with this key, the same one each time."""
        match pid:
            case ("storage", str(dtype), str(key), "cpu", int(elements)):
                storage = Storage(f"{self._folder}/{key}", dtype, elements)
                return self._storages.setdefault(key, storage)
        raise UnusualFileError("a storage of an unknown kind")


def _record_tensor(*values: object) -> TensorRecord:
    match values:
        case (Storage() as storage, int(offset), tuple(sizes), tuple(strides), bool(grad), hooks):
            if not hooks and len(sizes) == len(strides):
                return TensorRecord(storage, offset, sizes, strides, grad)
    raise UnusualFileError("a tensor of an unknown kind")


def _make_tagger(name: str) -> Callable[..., object]:
    return lambda *values: (name, *values)


class _Description:
    """Describe values in lines of text, and collect the tensors."""

    def __init__(self, rename: _Renaming) -> None:
        self.tensors: list[Placement] = []
        self._rename = rename
        self._seen: dict[int, int] = {}
        self._storages: dict[int, int] = {}

    def describe(self, value: object, path: str) -> Iterator[str]:
        """Yield lines that are equal for equal values; an object is described once."""
        match value:
            case _Instance():
                is_new = id(value) not in self._seen
                number = self._seen.setdefault(id(value), len(self._seen))
                yield f"object {number} {self._rename.in_code(value.path)}"
                if is_new:
                    yield from self._describe_attributes(value.state, path)
            case list() | tuple():
                yield f"{type(value).__name__} {len(value)}"
                for item in value:
                    yield from self.describe(item, "?")
            case dict():
                yield f"dict {len(value)}"
                for key, item in value.items():
                    yield from self.describe(key, "?")
                    yield from self.describe(item, "?")
            case None | bool() | int() | float() | str():
                yield f"{type(value).__name__} {value!r}"
            case _:
                raise UnusualFileError(f"a {type(value).__name__} in an unusual place")

    def _describe_attributes(self, state: object, path: str) -> Iterator[str]:
        if not isinstance(state, dict) or path.startswith("?"):
            raise UnusualFileError("an object with unusual attributes")
        for name, item in state.items():
            yield f"attribute {name!r}"
            if isinstance(item, TensorRecord):
                self.tensors.append(Placement(path, str(name), item))
                yield self._describe_tensor(item)
            else:
                yield from self.describe(item, f"{path}.{name}" if path else str(name))

    def _describe_tensor(self, tensor: TensorRecord) -> str:
        number = self._seen.setdefault(id(tensor), len(self._seen))
        storage = self._storages.setdefault(id(tensor.storage), len(self._storages))
        rank, dtype = len(tensor.sizes), tensor.storage.dtype
        return f"tensor {number} {storage} {dtype} {rank} {tensor.requires_grad}"
