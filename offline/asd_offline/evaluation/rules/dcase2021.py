"""Scoring rules of DCASE 2021 Task 2: sections in two domains, each scored separately.

The organisers' script takes the first ``len(machine types) // 2`` rows of a machine for those of
the source domain. That is right only because 7 // 2 is the number of sections.
"""

from asd_offline.datasets.layouts.dcase2021 import MACHINES
from asd_offline.evaluation.rules.scoring_rules import METRICS, CsvForm, ScoringRules


def _count_source_rows(_sections: int) -> int:
    return len(MACHINES) // 2


_SOURCE = tuple(f"{metric}_source" for metric in METRICS)
_TARGET = tuple(f"{metric}_target" for metric in METRICS)

RULES_2021 = ScoringRules(
    year=2021,
    section_word="section",
    domains="separate",
    score_parts=("auc_source", "pauc_source", "auc_target", "pauc_target"),
    mean="harmonic",
    formula="harmonic mean of AUC and pAUC per section and domain",
    section_metrics=(*_SOURCE, *_TARGET),
    table_metrics=(
        "auc_source",
        "auc_target",
        "pauc_source",
        "pauc_target",
        "f1_source",
        "f1_target",
    ),
    submission_names=("{kind}_{machine}_{section}_{domain}_test.csv",),
    official_source_rows=_count_source_rows,
    csv=CsvForm(
        file_name="{system}_result.csv",
        heading=("section", "domain", "AUC", "pAUC", "precision", "recall", "F1 score"),
        rows=(("source", _SOURCE), ("target", _TARGET)),
    ),
)
