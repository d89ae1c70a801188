"""``asd-monitor oracle``: rank the scores of a model with the test labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson, Cache, MovedDataset, default_cache
from asd_monitor.terminal.progress import console_progress

if TYPE_CHECKING:
    from asd_offline.export.oracle import OracleRow

WARNING = "chosen with the test labels: only for comparison with papers that did so, not a result"


def oracle(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run of `train`.")],
    dataset: MovedDataset = None,
    cache: Cache = None,
    as_json: AsJson = False,
) -> None:
    """Report the best score a model could reach if it were chosen with the test labels.

    Several papers report the best of many scores on the test set (AEGAN-AD: of nineteen). This
    command ranks all scores of a model in that way, together with the score that the recipe
    chose beforehand. It is for comparison with such papers only.

    Example: `asd-monitor oracle runs/fan`
    """
    import json

    from asd_monitor.commands.offline_extra import require_offline

    require_offline("oracle")
    from asd_offline.export.oracle import rank_scores

    with console_progress() as progress:
        rows = rank_scores(run, cache or default_cache(), dataset, progress)
    typer.echo(json.dumps(_to_dict(rows)) if as_json else _format(rows))


def _to_dict(rows: "list[OracleRow]") -> dict[str, Any]:
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


def _format(rows: "list[OracleRow]") -> str:
    width = max([len(row.score) for row in rows], default=5)
    lines = [f"ORACLE: {WARNING}", f"{'machine':<12}  {'score':<{width}}     AUC    pAUC"]
    lines += [
        f"{row.machine:<12}  {row.score:<{width}}  {row.auc:6.3f}  {row.pauc:6.3f}"
        f"{'  <- the recipe' if row.default else ''}"
        for row in rows
    ]
    return "\n".join(lines)
