"""``asd-monitor oracle``: the best score that the test labels could have chosen."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, Cache

if TYPE_CHECKING:
    from asd_offline.export.oracle import OracleRow

WARNING = "chosen with the test labels: for comparison with papers that did the same, no result"


def oracle(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `train` made.")],
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="Where the dataset is now, if it was moved.")
    ] = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Rank the scores of a model by the labelled test clips, which no detector may ever see.

    Several papers report the best of many scores on the test set (AEGAN-AD: of nineteen). This
    computes that figure, so named, beside the score that the recipe fixed beforehand.

    Example: `asd-monitor oracle runs/fan`
    """
    import json

    from asd_monitor.commands.offline_extra import require_offline

    require_offline("oracle")
    from asd_monitor.commands.train import default_cache
    from asd_offline.export.oracle import oracle as rank

    rows = rank(run, cache or default_cache(), dataset)
    typer.echo(json.dumps(_document(rows)) if as_json else _text(rows))


def _document(rows: "list[OracleRow]") -> dict[str, Any]:
    return {
        "oracle": WARNING,
        "scores": [
            {
                "machine": row.machine,
                "score": row.score,
                "auc": row.auc,
                "pauc": row.pauc,
                "default": row.default,
            }
            for row in rows
        ],
    }


def _text(rows: "list[OracleRow]") -> str:
    width = max([len(row.score) for row in rows], default=5)
    lines = [f"ORACLE: {WARNING}", f"{'machine':<12}  {'score':<{width}}     AUC    pAUC"]
    lines += [
        f"{row.machine:<12}  {row.score:<{width}}  {row.auc:6.3f}  {row.pauc:6.3f}"
        f"{'  <- the recipe' if row.default else ''}"
        for row in rows
    ]
    return "\n".join(lines)
