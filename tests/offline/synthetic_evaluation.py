"""A small made-up ground truth and submission of each year, in the organisers' files."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asd_offline.datasets import CHALLENGES

NORMALS, ANOMALIES = 6, 5

Row = tuple[str, int, str, float, int]  # name, label, domain, score, decision


@dataclass
class MadeUp:
    """Paths of the files, and all clips: (machine, section) -> rows (name, label, domain, ...)."""

    year: int
    truth: Path
    scores: Path
    clips: dict[tuple[str, str], list[Row]] = field(default_factory=dict)


def make_up(root: Path, year: int, seed: int = 0) -> MadeUp:
    """Write the whole evaluation set of a year with random labels, scores (ties too), decisions."""
    rng = np.random.default_rng(seed)
    made = MadeUp(year, root / f"evaluator_{year}", root / f"teams_{year}" / "team" / "system_1")
    for machine, sections in CHALLENGES[year].sets["eval"].items():
        for section in sections:
            made.clips[machine, section] = _section(rng, year, section)
    write_truth(made)
    write_scores(made)
    return made


def _section(rng: np.random.Generator, year: int, section: str) -> list[Row]:
    domains = ("",) if year == 2020 else ("source", "target")
    rows: list[Row] = []
    for domain in domains:
        labels = [0] * NORMALS * (2 if year == 2020 else 1) + [1] * ANOMALIES
        for index, label in enumerate(rng.permutation(labels)):
            if year == 2021:
                name = f"{section}_{domain}_test_{index:04d}.wav"
            else:
                number = index if domain != "target" else index + NORMALS + ANOMALIES
                name = (
                    f"{section}_{number:08d}.wav" if year == 2020 else f"{section}_{number:04d}.wav"
                )
            score = float(np.round(rng.normal(label), 1))
            rows.append((name, int(label), domain, score, int(score > 0.5)))
    return rows


def write_truth(made: MadeUp) -> None:
    if made.year == 2020:
        lines = []
        for machine, sections in CHALLENGES[2020].sets["eval"].items():
            lines.append(machine)
            for section in sections:
                for name, label, *_ in made.clips[machine, section]:
                    lines.append(f"{name},{('normal', 'anomaly')[label]}_{name},{label}")
        _write(made.truth / "eval_data_list.csv", lines)
        return
    for (machine, section), rows in made.clips.items():
        stem = f"ground_truth_{machine}_{section}"
        if made.year == 2021:
            for domain in ("source", "target"):
                lines = [f"{name},{label}" for name, label, d, *_ in rows if d == domain]
                _write(made.truth / "ground_truth_data" / f"{stem}_{domain}_test.csv", lines)
            continue
        labels = [f"{name},{label}" for name, label, *_ in rows]
        domains = [f"{name},{int(domain == 'target')}" for name, _, domain, *_ in rows]
        _write(made.truth / "ground_truth_data" / f"{stem}_test.csv", labels)
        _write(made.truth / "ground_truth_domain" / f"{stem}_test.csv", domains)
        if made.year == 2023:
            lines = [f"{row[0]},{attribute_name(row)}" for row in rows]
            _write(made.truth / "ground_truth_attributes" / f"{stem}_test.csv", lines)
        else:
            table = [
                f"{machine}/test/{r[0]},vel,1,{machine}/test/{attribute_name(r)}.wav" for r in rows
            ]
            path = made.truth / "ground_truth_attributes" / machine
            header = "file_name,d1p,d1v,file_name_with_full_attributes"
            _write(path / f"attributes_{section[-2:]}.csv", [header, *table])


def attribute_name(row: Row) -> str:
    """Name with domain, label and attribute, without its ending, as in the 2023 list."""
    name, label, domain, *_ = row
    section, number = name.removesuffix(".wav").rsplit("_", 1)
    return f"{section}_{domain}_test_{('normal', 'anomaly')[label]}_{number}_vel_1"


def write_scores(made: MadeUp) -> None:
    for (machine, section), rows in made.clips.items():
        shuffled = rows[::2][::-1] + rows[1::2]
        for domain in ("source", "target") if made.year == 2021 else ("",):
            own = [row for row in shuffled if domain in ("", row[2])]
            end = {2020: "", 2021: f"_{domain}_test"}.get(made.year, "_test")
            stem = f"{machine}_{section}{end}.csv"
            _write(made.scores / f"anomaly_score_{stem}", [f"{row[0]},{row[3]!r}" for row in own])
            if made.year != 2020:
                lines = [f"{row[0]},{row[4]}" for row in own]
                _write(made.scores / f"decision_result_{stem}", lines)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
