"""Show training on a terminal: a bar with an estimate, or a line now and then."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from asd_offline.training.loop import Epoch

LINES = 20
"""Where there is no terminal, so many lines at most for each network."""


class TerminalShow:
    """What goes on, on stderr."""

    def __init__(self, bar: Progress, *, quiet: bool) -> None:
        self._bar, self._quiet = bar, quiet
        self._tasks: dict[str, TaskID] = {}
        self._network, self._epochs = "", 0

    def features(self, done: int, total: int) -> None:
        """Show how many clips are read."""
        self._advance("features", done, total)

    def network(self, name: str, epochs: int) -> None:
        """Begin the bar of a network."""
        self._network, self._epochs = name, epochs

    def batch(self, done: int, total: int) -> None:
        """Show the current epoch's part."""
        if self._network in self._tasks and done % 16 == 0:
            task = self._bar.tasks[self._tasks[self._network]]
            self._bar.update(task.id, completed=int(task.completed) + done / total)

    def epoch(self, epoch: Epoch, auc: Mapping[str, float]) -> None:
        """Show an epoch's loss, and what AUC there is."""
        text = f"{self._network} loss {epoch.loss:.4g}"
        if auc:
            text += f" AUC {sum(auc.values()) / len(auc):.3f}"
        self._advance(self._network, epoch.number, self._epochs, text)
        every = max(1, -(-self._epochs // LINES))
        if self._bar.disable and not self._quiet and epoch.number % every == 0:
            self._bar.console.print(f"epoch {epoch.number}/{self._epochs} {text}")

    def note(self, text: str) -> None:
        """Show a sentence."""
        if not self._quiet:
            self._bar.console.print(text, soft_wrap=True, markup=False)

    def _advance(self, name: str, done: int, total: int, text: str = "") -> None:
        if name not in self._tasks:
            self._tasks[name] = self._bar.add_task(name, total=total)
        self._bar.update(self._tasks[name], completed=done, total=total, description=text or name)


@contextmanager
def shown(*, quiet: bool = False) -> Iterator[TerminalShow]:
    """Show progress on stderr while the block runs."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        yield TerminalShow(bar, quiet=quiet)
