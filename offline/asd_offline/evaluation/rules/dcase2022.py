"""Scoring rules of DCASE 2022 Task 2: domains share the anomalies of their section.

The organisers' script takes the first ``len(sections) // 2`` of a machine's rows for those of the
source domain; the first half of the rows would be right.
"""

from asd_offline.evaluation.rules.scoring_rules import CsvForm, ScoringRules


def _count_source_rows(sections: int) -> int:
    return sections // 2


SECTION_METRICS = (
    "auc",
    "auc_source",
    "auc_target",
    "pauc",
    "precision_source",
    "precision_target",
    "recall_source",
    "recall_target",
    "f1_source",
    "f1_target",
)
TABLE_METRICS = ("auc_source", "auc_target", "pauc", "f1_source", "f1_target")
CSV = CsvForm(
    file_name="{system}_result.csv",
    heading=(
        "section",
        "AUC (all)",
        "AUC (source)",
        "AUC (target)",
        "pAUC",
        "precision (source)",
        "precision (target)",
        "recall (source)",
        "recall (target)",
        "F1 score (source)",
        "F1 score (target)",
    ),
    rows=(("", SECTION_METRICS),),
    has_mean_heading=True,
    has_ci95=True,
)

RULES_2022 = ScoringRules(
    year=2022,
    section_word="section",
    domains="shared",
    score_parts=("auc_source", "auc_target", "pauc"),
    mean="harmonic",
    formula="harmonic mean of source AUC, target AUC and pAUC per section",
    section_metrics=SECTION_METRICS,
    table_metrics=TABLE_METRICS,
    submission_names=("{kind}_{machine}_{section}_test.csv", "{kind}_{machine}_{section}.csv"),
    official_source_rows=_count_source_rows,
    csv=CSV,
)
