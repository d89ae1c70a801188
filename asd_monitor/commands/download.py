"""``asd-monitor download``: get official datasets from Zenodo."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from asd_monitor.commands.interrupt import exit_on_interrupt
from asd_monitor.commands.options import AsJson, Sets, split_names
from asd_monitor.terminal.progress import console_progress


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
        console_progress(in_bytes=True) as progress,
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
            "supplemental": len(dataset.supplemental),
        }
        typer.echo(json.dumps(document))
    else:
        extra = f" and {len(dataset.supplemental)} supplemental clips" * bool(dataset.supplemental)
        typer.echo(
            f"{out}: {len(dataset.clips)} clips{extra} of {', '.join(dataset.machines())}; "
            f"next: asd-monitor replay {out}"
        )
