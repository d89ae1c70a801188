"""``asd-monitor evaluate``: compute the official metrics of a submission."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from asd_monitor.commands.options import AsJson
from asd_monitor.terminal.escape import on_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asd_offline.evaluation.ranking import Ranked
    from asd_offline.evaluation.results import ChallengeResult


def evaluate(
    scores: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder with the `anomaly_score_*.csv` files (and `decision_result_*.csv`) of a "
            "system, or a folder that contains those of several systems or teams, which are then "
            "ranked in one table.",
        ),
    ],
    year: Annotated[int, typer.Option("--year", metavar="YEAR", help="Year of DCASE Task 2.")],
    ground_truth: Annotated[
        Path | None,
        typer.Option(
            "--ground-truth",
            metavar="FOLDER",
            help="The organisers' evaluator repository of that year, or a folder that contains it. "
            "Not needed for the development set, whose file names show the labels.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FOLDER",
            help="Folder for each system's result CSV in the organisers' format, and for the "
            "ranking of several systems; existing files are replaced.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute DCASE Task 2 results exactly as the organisers do, after checking every file.

    Rows are matched by clip name. Missing, duplicate, unknown and unreadable rows are errors
    that name the file and the row (exit code 5).

    Example: `asd-monitor evaluate teams/ours --year 2023 --ground-truth dcase2023_task2_evaluator`,
    or all teams in one table: `asd-monitor evaluate teams --year 2025 --ground-truth evaluator`
    """
    import json

    from asd_monitor.errors import DatasetError
    from asd_offline.datasets.ground_truth import GroundTruth, read_ground_truth
    from asd_offline.evaluation.challenge_score import evaluate_submission
    from asd_offline.evaluation.named_labels import with_named_sections
    from asd_offline.evaluation.ranking import Entry, rank_entries, ranking_rows, team_of
    from asd_offline.evaluation.rules import scoring_rules
    from asd_offline.evaluation.submission import find_systems, read_submission

    if ground_truth is None:
        scoring_rules(year)  # raises if the year is not supported
        truth = GroundTruth(year, scores, {})
    else:
        truth = read_ground_truth(ground_truth, year)
    systems = find_systems(scores)
    is_single = len(systems) == 1
    documents: list[dict[str, Any]] = []
    entries: list[Entry] = []
    errors: list[DatasetError] = []
    for name, folder in systems.items():
        team = "" if is_single else team_of(scores, folder)
        system = folder.name if team else name
        try:
            labels = with_named_sections(truth, folder)
            result = evaluate_submission(read_submission(name, folder, labels), labels)
        except DatasetError as error:
            errors.append(error)
            documents.append({"system": name, "year": year, "error": str(error)})
            entries.append(Entry(team, system, None, str(error)))
            continue
        documents.append({"system": name, **result.to_dict()})
        entries.append(Entry(team, system, result))
        if out is not None:
            _write_csv(out, name, result)
        for rejected in result.rejected:
            typer.echo(on_one_line(f"not read: {rejected.path}: {rejected.reason}"), err=True)
        if not as_json and is_single:
            _print(name, result)
    if len(errors) < len(systems):
        ranking = [] if is_single else rank_entries(entries)
        if ranking and out is not None:
            _write_ranking(out, ranking)
        if as_json:
            rows = ranking_rows(ranking)
            several = {"year": year, "ranking": rows, "systems": documents}
            typer.echo(json.dumps(documents[0] if is_single else several, allow_nan=False))
        elif ranking:
            _print_ranking(year, ranking)
    if errors:
        raise DatasetError("\n".join(str(error) for error in errors))


def _write_ranking(out: Path, ranking: "Sequence[Ranked]") -> None:
    import json

    from asd_offline.evaluation.ranking import ranking_csv, ranking_rows

    _write(out / "ranking.csv", ranking_csv(ranking))
    _write(out / "ranking.json", json.dumps(ranking_rows(ranking), allow_nan=False, indent=1))


def _print_ranking(year: int, ranking: "Sequence[Ranked]") -> None:
    from asd_monitor.terminal.tables import stdout_console
    from asd_offline.evaluation.ranking import ranking_lines, ranking_tables

    console = stdout_console()
    count = len(ranking)
    console.print(f"{count} systems, DCASE {year} Task 2", style="bold", soft_wrap=True)
    for table in ranking_tables(ranking, console.width):
        console.print(table)
        console.print()
    for line in ranking_lines(ranking):
        console.print(line, soft_wrap=True)


def _write_csv(out: Path, name: str, result: "ChallengeResult") -> None:
    from asd_offline.evaluation.official_csv import official_csv

    _write(out / result.rules.csv.file_name.format(system=name), official_csv(result))


def _write(path: Path, text: str) -> None:
    from asd_monitor.errors import DatasetError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        msg = f"{path}: the result cannot be written: {error}"
        raise DatasetError(msg) from error
    typer.echo(f"wrote {path}", err=True)


def _print(name: str, result: "ChallengeResult") -> None:
    from asd_monitor.terminal.tables import stdout_console
    from asd_offline.evaluation.table import result_table, score_lines

    console = stdout_console()
    console.print(f"{name}, DCASE {result.year} Task 2", style="bold", soft_wrap=True)
    console.print(result_table(result))
    for line in score_lines(result):
        console.print(line, soft_wrap=True)
