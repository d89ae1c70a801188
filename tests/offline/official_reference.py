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


def official_table(files: EvaluationFiles) -> list[Cells]:
    """Return the rows of the year's result CSV; numbers as floats."""
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
        for row_domain in ("source", "target"):
            for section in sections:
                label, domain, score, decision = _columns(files, machine, section)
                mask = domain == row_domain
                row = _areas(label[mask], score[mask]) + _rates(label[mask], decision[mask])
                rows.append(row)
                everything[row_domain].append(row)
                out.append([section[8:], row_domain, *row])
        # divided at half the number of machine types, as in the organisers' script
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
            auc, pauc = _areas(label, score)
            by_domain = {}
            for name in ("source", "target"):
                mask = domain == name
                ranked = mask | (label == 1)
                area = roc_auc_score(label[ranked], score[ranked])
                by_domain[name] = [area, pauc, *_rates(label[mask], decision[mask])]
            source.append(by_domain["source"])
            target.append(by_domain["target"])
            rates = [by_domain[d][i] for i in (2, 3, 4) for d in ("source", "target")]
            areas = [auc, source[-1][0], target[-1][0], pauc]
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
