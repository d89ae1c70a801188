"""Compile the program of model files once for all files whose code and attributes are equal.

Compiling takes about half a second and 20 MB for each method of a model, and the models that a
monitor learns differ in tensors only. A module of a program that is already loaded is therefore a
copy of it with the tensors of the new file. Its origin, code and reference scores are checked in
the same way as those of the first one.
"""

import copy
import io
import threading
import weakref
import zipfile
from typing import TYPE_CHECKING, NamedTuple, cast

from asd_monitor.model_file.outline import (
    Outline,
    Placement,
    Storage,
    UnusualFileError,
    read_outline,
)
from asd_monitor.model_file.torchscript import compile_program

if TYPE_CHECKING:
    import torch


class Program:
    """A compiled program; it is kept as long as a model uses it.

    Parameters
    ----------
    module
        A module without values, of which those of models are copies.
    """

    def __init__(self, module: "torch.jit.ScriptModule") -> None:
        self._module = module

    def make_module(
        self, archive: zipfile.ZipFile, outline: Outline, device: str
    ) -> "torch.jit.ScriptModule":
        """Return a module with the tensors of a file."""
        module = copy.deepcopy(self._module)
        _place(module, outline.tensors, _Tensors(archive, device))
        return module


class LoadedProgram(NamedTuple):
    """The module of a file, and its program; None if no other file can use it."""

    module: "torch.jit.ScriptModule"
    program: Program | None


_programs: "weakref.WeakValueDictionary[tuple[str, str], Program]" = weakref.WeakValueDictionary()
_lock = threading.Lock()  # guards the dictionary, so that a program is compiled once


def load_program(content: bytes, device: str) -> LoadedProgram:
    """Return the module of a model file, which shares the program of an earlier file if possible.

    The file must have been admitted: its code is run by the caller.

    Raises
    ------
    RuntimeError, ValueError, torch.jit.Error
        If torch cannot load it.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        try:
            outline = read_outline(archive)
        except (UnusualFileError, KeyError, RecursionError):
            return LoadedProgram(compile_program(content, device), None)
        key = (_make_key(outline, device), device)
        with _lock:
            program = _programs.get(key)
            if program is None:
                module = compile_program(content, device)
                program = _make_program(module, outline)
                if program is not None:
                    _programs[key] = program
                return LoadedProgram(module, program)
        return LoadedProgram(program.make_module(archive, outline, device), program)


def _make_key(outline: Outline, device: str) -> str:
    """Return what files must have in common; on a GPU, code is compiled for the sizes as well."""
    sizes = "" if device == "cpu" else str([item.tensor.sizes for item in outline.tensors])
    return outline.key + sizes


def _make_program(module: "torch.jit.ScriptModule", outline: Outline) -> Program | None:
    """Return a program without the values of a module; None if they cannot be replaced."""
    modules = dict(module.named_modules())
    if any(item.module not in modules for item in outline.tensors):
        return None  # a tensor of an object that is not a module
    empty = copy.deepcopy(module)
    _place(empty, outline.tensors, None)
    return Program(empty)


def _place(
    module: "torch.jit.ScriptModule", placements: tuple[Placement, ...], tensors: "_Tensors | None"
) -> None:
    """Replace the tensors of a module by those of a file, or by empty ones."""
    import torch

    modules = dict(module.named_modules())
    for item in placements:
        if tensors is None:
            dtype = cast("torch.dtype", getattr(torch, item.tensor.storage.dtype))
            value = torch.empty(0, dtype=dtype, requires_grad=item.tensor.requires_grad)
        else:
            value = tensors.read(item)
        modules[item.module]._c.setattr(item.name, value)


class _Tensors:
    """Read the tensors of an archive; those that share memory in it do so here."""

    def __init__(self, archive: zipfile.ZipFile, device: str) -> None:
        self._archive = archive
        self._device = device
        self._storages: dict[int, torch.Tensor] = {}
        self._tensors: dict[int, torch.Tensor] = {}

    def read(self, item: Placement) -> "torch.Tensor":
        """Return a tensor, the same one for the same record."""
        record = item.tensor
        if id(record) not in self._tensors:
            memory = self._read_storage(record.storage)
            value = memory.as_strided(record.sizes, record.strides, record.offset)
            self._tensors[id(record)] = value.requires_grad_(record.requires_grad)
        return self._tensors[id(record)]

    def _read_storage(self, storage: Storage) -> "torch.Tensor":
        import torch

        if id(storage) not in self._storages:
            try:
                content = self._archive.read(storage.member)
            except KeyError as error:
                raise ValueError(f"{storage.member} is missing") from error
            dtype = cast("torch.dtype", getattr(torch, storage.dtype))
            memory = torch.empty(storage.elements, dtype=dtype)
            if memory.nbytes != len(content):
                raise ValueError(f"{storage.member}: expected {memory.nbytes} bytes")
            if content:
                memory.view(torch.uint8).copy_(
                    torch.frombuffer(bytearray(content), dtype=torch.uint8)
                )
            self._storages[id(storage)] = memory.to(self._device)
        return self._storages[id(storage)]
