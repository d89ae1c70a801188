"""``asd-monitor download``: get official datasets from Zenodo."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asd_monitor.commands.interrupt import exit_on_interrupt
from asd_monitor.commands.options import AsJson, Sets, split_names

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from asd_offline.datasets.download.http import Progress

_STEP_PERCENT = 10


def download(
    out: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder for the dataset; it is created if missing."),
    ],
    year: Annotated[int, typer.Option("--year", metavar="YEAR", help="Year of DCASE Task 2.")],
    machines: Annotated[
        str,
        typer.Option(
            "--machines",
            metavar="NAMES",
            help="Machine types, separated by commas, such as `fan,pump`. By default all.",
            show_default=False,
        ),
    ] = "",
    sets: Annotated[
        Sets,
        typer.Option(
            "--set",
            help="dev: the development set, with labels. eval: the additional training data and "
            "the evaluation clips, whose labels are published separately (see `replay "
            "--ground-truth`).",
        ),
    ] = Sets.DEV,
    server: Annotated[
        str,
        typer.Option(
            "--server", metavar="URL", help="Zenodo, or a mirror with the same interface."
        ),
    ] = "https://zenodo.org",
    as_json: AsJson = False,
) -> None:
    """Download a DCASE Task 2 dataset and unpack it for `replay` and `train`.

    Interrupted downloads resume; existing files are kept.

    Example: `asd-monitor download --year 2020 --machines fan,pump data/dcase2020`
    """
    import json

    from asd_offline.datasets import open_dataset
    from asd_offline.datasets.download.download import download as download_sets

    with (
        exit_on_interrupt("run the same command again to resume"),
        _progress() as progress,
    ):
        results = download_sets(
            year,
            out,
            progress,
            machines=split_names([machines]),
            subsets=sets.names(),
            server=server,
        )
    dataset = open_dataset(out, year=year)
    if as_json:
        document = {
            "year": year,
            "out": str(out),
            "archives": [asdict(result) for result in results],
            "machines": list(dataset.machines()),
            "clips": len(dataset.clips),
        }
        typer.echo(json.dumps(document))
    else:
        typer.echo(
            f"{out}: {len(dataset.clips)} clips of {', '.join(dataset.machines())}; "
            f"next: asd-monitor replay {out}"
        )


@contextmanager
def _progress() -> Iterator["Progress"]:
    """Bars on a terminal, plain lines elsewhere; both on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bars(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console) as bars:
        yield _OnTerminal(bars)


class _OnTerminal:
    """One bar per archive."""

    def __init__(self, bars: "Bars") -> None:
        self._bars = bars
        self._tasks = {task.description: task.id for task in bars.tasks}
        self._name = ""

    def begin(self, name: str, total_bytes: int, have_bytes: int) -> None:
        self._name = name
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(name, total=total_bytes)
        self._bars.update(self._tasks[name], completed=have_bytes)

    def advance(self, count_bytes: int) -> None:
        self._bars.advance(self._tasks[self._name], count_bytes)

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, soft_wrap=True)


class _Lines:
    """A line per tenth of an archive."""

    def __init__(self) -> None:
        self._name, self._total, self._have, self._next = "", 1, 0, 0

    def begin(self, name: str, total_bytes: int, have_bytes: int) -> None:
        self._name, self._total, self._have = name, total_bytes, have_bytes
        self._next = 100 * have_bytes // total_bytes // _STEP_PERCENT * _STEP_PERCENT
        self.advance(0)

    def advance(self, count_bytes: int) -> None:
        self._have += count_bytes
        percent = 100 * self._have // self._total
        if percent >= self._next:
            self.say(f"{self._name}: {percent} % of {self._total / 1e6:.1f} MB")
            self._next = percent // _STEP_PERCENT * _STEP_PERCENT + _STEP_PERCENT

    def say(self, text: str) -> None:
        typer.echo(text, err=True)
