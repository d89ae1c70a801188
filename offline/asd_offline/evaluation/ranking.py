"""Systems of several teams side by side: their rank, official score and score of each machine."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from asd_monitor.storage.csv_cells import plain_cell
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.evaluation.results import ChallengeResult

MACHINE_WIDTH = 9
"""A longer name of a machine is continued on the next line of the heading."""
GAP = 2
"""Spaces between columns."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z]+")
_TITLES = {
    "score": "score",
    "auc": "AUC",
    "auc_source": "AUC src",
    "auc_target": "AUC tgt",
    "pauc": "pAUC",
    "pauc_source": "pAUC src",
    "pauc_target": "pAUC tgt",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One system, with its result or the reason why there is none."""

    team: str
    """Folder of the team; empty if the systems are not in folders of teams."""
    system: str
    result: ChallengeResult | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Ranked:
    """An entry and its rank; None without an official score."""

    rank: int | None
    entry: Entry


def team_of(scores: Path, system: Path) -> str:
    """Return the folders between the given folder and that of a system."""
    return "/".join(system.relative_to(scores).parts[:-1])


def rank_entries(entries: Sequence[Entry]) -> list[Ranked]:
    """Order systems by their official score, the best first.

    Equal scores share the better rank. Systems without an official score follow in the order of
    their partial scores, without rank, and then those that could not be read.
    """

    ordered = sorted(entries, key=_order)
    ranked: list[Ranked] = []
    for position, entry in enumerate(ordered, start=1):
        score = _official(entry)
        if score is None:
            ranked.append(Ranked(None, entry))
        elif ranked and _official(ranked[-1].entry) == score:
            ranked.append(Ranked(ranked[-1].rank, entry))
        else:
            ranked.append(Ranked(position, entry))
    return ranked


def _official(entry: Entry) -> float | None:
    return entry.result.official_score if entry.result else None


def _order(entry: Entry) -> tuple[float, float, str, str]:
    """Return a key that sorts by falling official score, then falling partial score, then name."""
    scores = (_official(entry), entry.result.partial_score if entry.result else None)
    official, partial = (1.0 if score is None else -score for score in scores)
    return official, partial, entry.team, entry.system


def machines_of(entries: Sequence[Entry]) -> list[str]:
    """Return the machine types that occur, in the order of the official results."""
    results = [entry.result for entry in entries if entry.result]
    names = {machine.machine for result in results for machine in result.machines}
    return CHALLENGES[results[0].year].sort_machines(names) if results else []


def ranking_tables(ranking: Sequence[Ranked], width: int) -> list[Table]:
    """Return a row for each system: rank, score, means of metrics, and the score of each machine.

    That is one table if it fits into ``width`` characters; otherwise the machines follow in as
    many further tables as they need.
    """
    entries = [each.entry for each in ranking]
    machines, parts = machines_of(entries), _parts(entries)
    means = ["score", *(_TITLES[part] for part in parts)]
    free = width - len("rank") - GAP - max(len(name) for name in _names(entries)) - GAP
    widths = [max(map(len, [*_folded(name).split("\n"), "100.00"])) + GAP for name in machines]
    if sum(max(len(name), 6) + GAP for name in means) + sum(widths) <= free:
        return [_table(ranking, ["score", *parts, *machines])]
    tables = [_table(ranking, ["score", *parts])]
    while machines:
        count = 1
        while count < len(machines) and sum(widths[: count + 1]) <= free:
            count += 1
        tables.append(_table(ranking, machines[:count]))
        del machines[:count], widths[:count]
    return tables


def _table(ranking: Sequence[Ranked], columns: Sequence[str]) -> Table:
    """Return a table of the given metrics and machines."""
    table = Table(
        box=box.SIMPLE_HEAD,
        header_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("rank", justify="right", no_wrap=True)
    table.add_column("system", overflow="fold")
    for name in columns:
        table.add_column(_TITLES.get(name) or _folded(name), justify="right", no_wrap=True)
    for each, name in zip(ranking, _names([each.entry for each in ranking]), strict=True):
        values = _values(each.entry)
        cells = [_percent(values.get(column)) for column in columns]
        rank = "-" if each.rank is None else str(each.rank)
        table.add_row(rank, name, *cells, style="bold" if each.rank == 1 else None)
    return table


def _names(entries: Sequence[Entry]) -> list[str]:
    """Return the systems' names, after the teams' where systems of two teams share a name."""
    systems = [entry.system for entry in entries]
    is_unique = len(set(systems)) == len(systems)
    return systems if is_unique else [_name(entry) for entry in entries]


def ranking_lines(ranking: Sequence[Ranked]) -> Iterator[str]:
    """Yield the lines below the table: the formula, and why systems have no rank."""
    results = [each.entry.result for each in ranking if each.entry.result]
    if results:
        rules = results[0].rules
        yield f"score in %: {rules.formula}; DCASE {rules.year}"
    for each in ranking:
        entry = each.entry
        if each.rank is not None:
            continue
        name = _name(entry)
        if entry.result is None:
            yield f"{name}: cannot be read: {entry.error.splitlines()[-1].strip()}"
        elif entry.result.set_name is None:
            yield f"{name}: no rank: not the machines and sections of one set"
        else:
            lacking = ", ".join(entry.result.missing)
            yield f"{name}: no rank: lacks {lacking}; the score is that of the others"


def ranking_rows(ranking: Sequence[Ranked]) -> list[dict[str, Any]]:
    """Return the table for JSON: fractions, not percent, and None for missing values."""
    entries = [each.entry for each in ranking]
    parts = _parts(entries)
    return [
        {
            "rank": each.rank,
            "team": each.entry.team or None,
            "system": each.entry.system,
            "official_score": result.official_score if result else None,
            "partial_score": result.partial_score if result else None,
            "ci95": result.ci95 if result else None,
            "missing": list(result.missing) if result else [],
            **{part: result.means.value(part, result.rules) if result else None for part in parts},
            "machines": _scores(each.entry),
            "error": each.entry.error or None,
        }
        for each in ranking
        for result in [each.entry.result]
    ]


def ranking_csv(ranking: Sequence[Ranked]) -> str:
    """Return the table as CSV, values in full precision."""
    entries = [each.entry for each in ranking]
    machines, parts = machines_of(entries), _parts(entries)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    means = ("official_score", "partial_score", "ci95", *parts)
    writer.writerow(("rank", "team", "system", *means, *machines))
    for row in ranking_rows(ranking):
        numbers = [*(row[name] for name in means), *(row["machines"].get(m) for m in machines)]
        cells = ["" if number is None else repr(number) for number in numbers]
        names = (plain_cell(row["team"] or ""), plain_cell(row["system"]))
        writer.writerow(("" if row["rank"] is None else row["rank"], *names, *cells))
    return text.getvalue()


def _parts(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return the metrics that enter the official score."""
    return next((entry.result.rules.score_parts for entry in entries if entry.result), ())


def _scores(entry: Entry) -> Mapping[str, float | None]:
    machines = entry.result.machines if entry.result else ()
    return {machine.machine: machine.score for machine in machines}


def _values(entry: Entry) -> dict[str, float | None]:
    """Return the score, the means and the scores of the machines by column."""
    if entry.result is None:
        return {}
    result = entry.result
    means = {part: result.means.value(part, result.rules) for part in result.rules.score_parts}
    return {"score": result.partial_score, **means, **_scores(entry)}


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _folded(name: str) -> str:
    """Divide a machine's name into short lines, between its words."""
    lines = [""]
    for word in _WORD.findall(name):
        if lines[-1] and len(lines[-1]) + len(word) > MACHINE_WIDTH:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)


def _name(entry: Entry) -> str:
    return f"{entry.team}/{entry.system}" if entry.team else entry.system
