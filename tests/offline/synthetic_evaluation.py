"""Small synthetic ground truth and submissions, in the form of the organisers' files."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asd_offline.datasets import CHALLENGES

NORMALS, ANOMALIES = 6, 5

Row = tuple[str, int, str, float, int]  # name, label, domain, score, decision


@dataclass
class EvaluationFiles:
    """Paths of the written files, and the rows of each (machine, section)."""

    year: int
    truth: Path
    scores: Path
    clips: dict[tuple[str, str], list[Row]] = field(default_factory=dict)


def write_evaluation_files(root: Path, year: int, seed: int = 0) -> EvaluationFiles:
    """Write a year's evaluation set with random labels, decisions and scores, some tied."""
    rng = np.random.default_rng(seed)
    files = EvaluationFiles(
        year, root / f"evaluator_{year}", root / f"teams_{year}" / "team" / "system_1"
    )
    for machine, sections in CHALLENGES[year].sets["eval"].items():
        for section in sections:
            files.clips[machine, section] = _section(rng, year, section)
    write_truth(files)
    write_scores(files)
    return files


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


def write_truth(files: EvaluationFiles) -> None:
    if files.year == 2020:
        lines = []
        for machine, sections in CHALLENGES[2020].sets["eval"].items():
            lines.append(machine)
            for section in sections:
                for name, label, *_ in files.clips[machine, section]:
                    lines.append(f"{name},{('normal', 'anomaly')[label]}_{name},{label}")
        _write(files.truth / "eval_data_list.csv", lines)
        return
    for (machine, section), rows in files.clips.items():
        stem = f"ground_truth_{machine}_{section}"
        if files.year == 2021:
            for domain in ("source", "target"):
                lines = [f"{name},{label}" for name, label, d, *_ in rows if d == domain]
                _write(files.truth / "ground_truth_data" / f"{stem}_{domain}_test.csv", lines)
            continue
        labels = [f"{name},{label}" for name, label, *_ in rows]
        domains = [f"{name},{int(domain == 'target')}" for name, _, domain, *_ in rows]
        _write(files.truth / "ground_truth_data" / f"{stem}_test.csv", labels)
        _write(files.truth / "ground_truth_domain" / f"{stem}_test.csv", domains)
        if CHALLENGES[files.year].ground_truth_attributes == "names":
            lines = [f"{row[0]},{attribute_name(row)}" for row in rows]
            if machine in CHALLENGES[files.year].full_name_column:
                lines = [f"{line},{attribute_name(row)}_full.wav"
                         for line, row in zip(lines, rows, strict=True)]  # fmt: skip
            _write(files.truth / "ground_truth_attributes" / f"{stem}_test.csv", lines)
        else:
            table = [
                f"{machine}/test/{r[0]},vel,1,{machine}/test/{attribute_name(r)}.wav" for r in rows
            ]
            path = files.truth / "ground_truth_attributes" / machine
            header = "file_name,d1p,d1v,file_name_with_full_attributes"
            _write(path / f"attributes_{section[-2:]}.csv", [header, *table])


def attribute_name(row: Row) -> str:
    """Return the name with domain, label and attribute, without suffix, as in the list of 2023."""
    name, label, domain, *_ = row
    section, number = name.removesuffix(".wav").rsplit("_", 1)
    return f"{section}_{domain}_test_{('normal', 'anomaly')[label]}_{number}_vel_1"


def write_scores(files: EvaluationFiles) -> None:
    for (machine, section), rows in files.clips.items():
        shuffled = rows[::2][::-1] + rows[1::2]
        for domain in ("source", "target") if files.year == 2021 else ("",):
            selected = [row for row in shuffled if domain in ("", row[2])]
            end = {2020: "", 2021: f"_{domain}_test"}.get(files.year, "_test")
            stem = f"{machine}_{section}{end}.csv"
            _write(
                files.scores / f"anomaly_score_{stem}", [f"{row[0]},{row[3]!r}" for row in selected]
            )
            if files.year != 2020:
                lines = [f"{row[0]},{row[4]}" for row in selected]
                _write(files.scores / f"decision_result_{stem}", lines)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
