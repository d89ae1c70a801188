"""The organisers' result tables computed independently with scikit-learn and scipy."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hmean, t
from sklearn.metrics import roc_auc_score

from asd_offline.datasets import CHALLENGES
from tests.offline.synthetic_evaluation import EvaluationFiles

EPS = sys.float_info.epsilon
Cells = list[Any]
Array = NDArray[Any]
COLUMNS = ["AUC", "pAUC", "precision", "recall", "F1 score"]
RATES = [f"{name} ({domain})" for name in COLUMNS[2:] for domain in ("source", "target")]


def table(files: EvaluationFiles) -> list[Cells]:
    """Rows of the year's result CSV; numbers as floats."""
    return {2020: _table_2020, 2021: _table_2021}.get(files.year, _table_since_2022)(files)


def _areas(label: Array, score: Array) -> Cells:
    return [roc_auc_score(label, score), roc_auc_score(label, score, max_fpr=0.1)]


def _rates(label: Array, decision: Array) -> Cells:
    hit = np.sum((label == 1) & (decision == 1))
    precision = hit / max(np.sum(decision == 1), EPS)
    recall = hit / max(np.sum(label == 1), EPS)
    return [precision, recall, 2 * precision * recall / max(precision + recall, EPS)]


def _harmonic(rows: Cells) -> Cells:
    return list(hmean(np.maximum(np.asarray(rows, dtype=float), EPS), axis=0))


def _columns(files: EvaluationFiles, machine: str, section: str) -> tuple[Any, ...]:
    rows = files.clips[machine, section]
    label, domain, score, decision = (np.array([r[i] for r in rows]) for i in (1, 2, 3, 4))
    return label, domain, score, decision


def _table_2020(files: EvaluationFiles) -> list[Cells]:
    out: list[Cells] = []
    for machine, ids in CHALLENGES[2020].sets["eval"].items():
        rows = []
        for name in ids:
            label, _, score, _ = _columns(files, machine, name)
            rows.append(_areas(label, score))
        out += [[machine], ["id", "AUC", "pAUC"]]
        out += [[name[3:], *row] for name, row in zip(ids, rows, strict=True)]
        out += [["Average", *np.mean(rows, axis=0)], []]
    return out


def _mean_rows(rows: Cells, over: str, source: slice, target: slice) -> list[Cells]:
    return [
        [f"arithmetic mean{over}", "", *np.mean(rows, axis=0)],
        [f"harmonic mean{over}", "", *_harmonic(rows)],
        [f"source harmonic mean{over}", "", *_harmonic(rows[source])],
        [f"target harmonic mean{over}", "", *_harmonic(rows[target])],
    ]


OVER = " over all machine types, sections, and domains"


def _table_2021(files: EvaluationFiles) -> list[Cells]:
    out: list[Cells] = []
    everything: dict[str, Cells] = {"source": [], "target": []}
    for machine, sections in CHALLENGES[2021].sets["eval"].items():
        out += [[machine], ["section", "domain", *COLUMNS]]
        rows = []
        for wanted in ("source", "target"):
            for section in sections:
                label, domain, score, decision = _columns(files, machine, section)
                own = domain == wanted
                row = _areas(label[own], score[own]) + _rates(label[own], decision[own])
                rows.append(row)
                everything[wanted].append(row)
                out.append([section[8:], wanted, *row])
        # half the number of machine types, as the organisers' script has it
        out += [*_mean_rows(rows, "", slice(0, 7 // 2), slice(7 // 2, None)), []]
    rows = everything["source"] + everything["target"]
    out.append(["", "", *COLUMNS])
    out += [*_mean_rows(rows, OVER, slice(0, 21), slice(21, None)), []]
    score = hmean(np.maximum([x for row in rows for x in row[:2]], EPS))
    return [*out, ["official score", "", score], []]


def _table_since_2022(files: EvaluationFiles) -> list[Cells]:
    out: list[Cells] = []
    all_source: Cells = []
    all_target: Cells = []
    for machine, sections in CHALLENGES[files.year].sets["eval"].items():
        out += [[machine], ["section", "AUC (all)", "AUC (source)", "AUC (target)", "pAUC", *RATES]]
        source, target = [], []
        for section in sections:
            label, domain, score, decision = _columns(files, machine, section)
            whole = _areas(label, score)
            found = {}
            for wanted in ("source", "target"):
                own, against = domain == wanted, (domain == wanted) | (label == 1)
                area = roc_auc_score(label[against], score[against])
                found[wanted] = [area, whole[1], *_rates(label[own], decision[own])]
            source.append(found["source"])
            target.append(found["target"])
            rates = [found[d][i] for i in (2, 3, 4) for d in ("source", "target")]
            areas = [whole[0], source[-1][0], target[-1][0], whole[1]]
            out.append([section[8:], *areas, *rates])
        cut = len(sections) // 2 if files.year == 2022 else len(sections)
        rows = source + target
        out.append(["", "", *COLUMNS])
        out += [*_mean_rows(rows, "", slice(0, cut), slice(cut, None)), []]
        all_source += source
        all_target += target
    out.append(["", "", *COLUMNS])
    rows, half = all_source + all_target, len(all_source)
    out += [*_mean_rows(rows, OVER, slice(0, half), slice(half, None)), []]
    parts = [row[0] for row in rows] + [row[1] for row in all_source]
    out.append(["official score", "", hmean(np.maximum(parts, EPS))])
    return [*out, ["official score ci95", "", _pooled_ci95(files)], []]


def _pooled_ci95(files: EvaluationFiles) -> float:
    label = np.concatenate([_columns(files, *key)[0] for key in files.clips])
    score = np.concatenate([_columns(files, *key)[2] for key in files.clips])
    functions: tuple[Callable[[Any, Any], float], ...] = (
        roc_auc_score,
        lambda a, b: roc_auc_score(a, b, max_fpr=0.1),
    )
    widths = []
    n = len(label)
    for function in functions:
        left_out = np.array([function(np.delete(label, i), np.delete(score, i)) for i in range(n)])
        spread = np.sum((left_out - np.mean(left_out)) ** 2)
        widths.append(t.ppf(0.975, n - 1) * np.sqrt(spread / (n * (n - 1))))
    return float(np.mean(widths))
