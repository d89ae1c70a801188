"""``asd-monitor evaluate``: official metrics of score files."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson

if TYPE_CHECKING:
    from asd_offline.evaluation.results import ChallengeResult


def evaluate(
    scores: Annotated[
        Path,
        typer.Argument(
            help="Folder with the `anomaly_score_*.csv` files (and `decision_result_*.csv`) of a "
            "system, or a folder above those of several systems.",
        ),
    ],
    year: Annotated[int, typer.Option("--year", help="Year of DCASE Task 2: 2020 to 2023.")],
    ground_truth: Annotated[
        Path,
        typer.Option(
            "--ground-truth",
            help="The organisers' evaluator repository of that year, or a folder above it.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Write the organisers' result CSV of each system here, replacing it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute a DCASE Task 2 result exactly as the organisers do, after checking every file.

    Rows are matched by clip name: missing, doubled, unknown or unreadable rows are errors that
    name the file and the row (exit code 5).

    Example: `asd-monitor evaluate teams/ours --year 2023 --ground-truth dcase2023_task2_evaluator`
    """
    import json

    from asd_monitor.errors import DatasetError
    from asd_offline.datasets.ground_truth import read_ground_truth
    from asd_offline.evaluation.challenge_score import evaluate_submission
    from asd_offline.evaluation.submission import find_systems, read_submission

    truth = read_ground_truth(ground_truth, year)
    systems = find_systems(scores)
    documents: list[dict[str, Any]] = []
    failures: list[DatasetError] = []
    for name, folder in systems.items():
        try:
            result = evaluate_submission(read_submission(name, folder, truth), truth)
        except DatasetError as error:
            failures.append(error)
            documents.append({"system": name, "year": year, "error": str(error)})
            continue
        documents.append({"system": name, **result.to_json()})
        if out is not None:
            _write(out, name, result)
        _warn(result)
        if not as_json:
            _show(name, result)
    if as_json and len(failures) < len(systems):
        document = documents[0] if len(systems) == 1 else {"year": year, "systems": documents}
        typer.echo(json.dumps(document, allow_nan=False))
    if failures:
        raise DatasetError("\n".join(str(failure) for failure in failures))


def _write(out: Path, name: str, result: "ChallengeResult") -> None:
    from asd_monitor.errors import DatasetError
    from asd_offline.evaluation.official_csv import official_csv

    path = out / (f"result_{name}.csv" if result.year == 2020 else f"{name}_result.csv")
    try:
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(official_csv(result), encoding="utf-8", newline="\n")
    except OSError as error:
        msg = f"{path}: the result cannot be written: {error}"
        raise DatasetError(msg) from error
    typer.echo(f"wrote {path}", err=True)


def _warn(result: "ChallengeResult") -> None:
    for rejected in result.rejected:
        typer.echo(f"not read: {rejected.path}: {rejected.reason}", err=True)


def _show(name: str, result: "ChallengeResult") -> None:
    from rich.console import Console

    from asd_offline.evaluation.table import result_table, score_lines

    console = Console(highlight=False)
    console.print(f"{name}, DCASE {result.year} Task 2", style="bold")
    console.print(result_table(result))
    for line in score_lines(result):
        console.print(line, soft_wrap=True, markup=False)
