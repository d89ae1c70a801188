"""``asd-monitor leaderboard``: put the results of comparisons together."""

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...",
            help="Files `result.json` of `asd-monitor compare`, or the folders that contain them.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the page to this file of Markdown."),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FOLDER",
            help="Also write the merged results to this folder, one file DATASET.json for each "
            "dataset, without paths of this computer.",
        ),
    ] = None,
) -> None:
    """Put the results of comparisons on many computers together, and print one page.

    Runs of the same model, recipe and data count together, whichever computer did them; a run that
    is in several files counts once. Models with fewer than four seeds are not ranked.

    Example: `asd-monitor leaderboard runs/*/result.json --out docs/leaderboard.md`
    """
    from asd_monitor.commands.offline_extra import require_offline

    require_offline("leaderboard")
    from asd_monitor.errors import ModelFileError, RunError
    from asd_monitor.model_file.archive import write_atomically
    from asd_offline.leaderboard.documents import encode_document, read_document
    from asd_offline.leaderboard.merge import merge, to_document
    from asd_offline.leaderboard.page import render_page

    boards = merge([(path, read_document(path)) for path in results])
    files = {} if out is None else {out: render_page(boards)}
    if save is not None:
        names = [board.name for board in boards]
        for board in boards:
            suffix = f"-{board.data_digest[:8]}" if names.count(board.name) > 1 else ""
            files[save / f"{board.name}{suffix}.json"] = encode_document(to_document(board))
    if out is None:
        typer.echo(render_page(boards), nl=False)
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text.encode())
        except (OSError, ModelFileError) as error:
            raise RunError(f"{path}: cannot be written: {error}") from error
        typer.echo(f"wrote {path}", err=out is None)
