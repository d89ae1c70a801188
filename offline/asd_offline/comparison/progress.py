"""Show a comparison on a terminal: a line for each run, and a bar with an estimate."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from asd_offline.comparison.run_result import OVERALL, Outcome


class ComparisonShow:
    """What goes on, on stderr."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)
        self._began_s = time.monotonic()
        self._first: float | None = None

    def note(self, text: str) -> None:
        """Show a sentence."""
        self._bar.console.print(text, soft_wrap=True, markup=False)

    def progress(self, done: float, whole: float) -> None:
        """Move the bar; once a part is done, say how long the rest may take."""
        if self._first is None:
            self._first = done
        new, gone_s = done - self._first, time.monotonic() - self._began_s
        left = ""
        if done < whole and new > 0.1 * (whole - self._first):
            left = f"about {_duration((whole - done) * gone_s / new)} left"
        self._bar.update(self._task, completed=done, total=whole, description=left)

    def finished(self, outcome: Outcome, done: int, whole: int) -> None:
        """Say what came of a run."""
        self.note(f"{done}/{whole} {outcome.model}, seed {outcome.seed}: {_result(outcome)}")


def _result(outcome: Outcome) -> str:
    if outcome.failed is not None:
        return outcome.failed
    values = outcome.figures.get(OVERALL, {})
    auc = values.get("auc")
    shown = "no AUC" if auc is None else f"AUC {auc:.3f}"
    took = f", trained in {_duration(outcome.training_s)}" if outcome.training_s else ""
    return f"{shown}{took}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def shown() -> Iterator[ComparisonShow]:
    """Show progress on stderr while the block runs."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.percentage:>3.0f} %"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield ComparisonShow(bar)
