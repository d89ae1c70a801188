"""Model files that do what a model file must not do, as a hostile maker would build them."""

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch

from asd_monitor.model_file import packing, save, script
from asd_monitor.model_file.archive import INTEGRITY_MEMBER, seal
from asd_monitor.model_file.made_here import forget_made
from asd_monitor.model_file.verdicts import forget_passed
from tests.rig.toy_model import LogBands, manifest


class Writing(torch.nn.Module):
    """Overwrite a file whenever it is run."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Write one byte into the file, and return zeros."""
        written = torch.from_file(self.path, True, 1, dtype=torch.uint8).fill_(33)
        return torch.zeros(waveform.size(0)) + written.sum()


class Copying(torch.nn.Module):
    """Write what it scores into a new file."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Save the window."""
        torch.save(waveform, self.path)
        return waveform.mean(1)


class WritingWhenLoaded(torch.nn.Module):
    """Overwrite a file while torch loads the model, before any window is scored."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.written = torch.zeros(1, dtype=torch.uint8)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return self.path, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        self.written = torch.from_file(state[0], True, 1, dtype=torch.uint8).fill_(33)

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return zeros."""
        return torch.zeros(waveform.size(0))


class Endless(torch.nn.Module):
    """Never return a score of a window that is not silent."""

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Add until the sum is negative."""
        total = waveform.square().sum()
        while bool(total > 0):
            total = total + 1
        return waveform.mean(1)


class Greedy(torch.nn.Module):
    """Take 60 GB of memory for a window that is not silent."""

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Fill a tensor."""
        if bool(waveform.square().sum() > 0):
            return torch.ones(15_000_000_000)[: waveform.size(0)]
        return waveform.mean(1)


@contextmanager
def unchecked() -> Iterator[None]:
    """Let this program write a model file as that of a hostile maker would."""
    with mock.patch.object(packing, "scan_content"):
        yield


def save_hostile(path: Path, module: torch.nn.Module) -> Path:
    """Write a model file of another maker, with references for silence; return its path."""
    with unchecked():
        silence = torch.zeros(1, 800).numpy()
        save(path, script(module), manifest(), silence)
    return make_foreign(path)


def make_foreign(path: Path) -> Path:
    """Forget that this process made or tried model files, and return the path."""
    forget_made()
    forget_passed()
    return path


def save_foreign(path: Path) -> Path:
    """Write the toy model as the file of another maker, and return its path."""
    save(path, script(LogBands()), manifest())
    return make_foreign(path)


def save_that_fails_later(path: Path, module: torch.nn.Module) -> Path:
    """Write a model whose stored reference windows are noise, without scoring them here."""
    save_hostile(path, module)
    noise = save_foreign(path.with_name("noise.asd"))
    with zipfile.ZipFile(noise) as archive:
        name = next(each for each in archive.namelist() if each.endswith("golden.f32"))
        windows = archive.read(name)
    change_members(path, lambda member, content: windows if member == name else content)
    noise.unlink()
    return path


def change_members(path: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    """Replace members of a model file, and seal it again, as everyone can."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            content = None if name == INTEGRITY_MEMBER else change(name, source.read(name))
            if content is not None:
                target.writestr(name, content)
    path.write_bytes(seal(buffer.getvalue()))
