"""Scoring rules of DCASE 2023 Task 2: those of 2022 for machines with one section."""

from asd_offline.evaluation.rules.dcase2022 import CSV, SECTION_METRICS, TABLE_METRICS
from asd_offline.evaluation.rules.scoring_rules import ScoringRules

RULES_2023 = ScoringRules(
    year=2023,
    section_word="section",
    domains="shared",
    score_parts=("auc_source", "auc_target", "pauc"),
    mean="harmonic",
    formula="harmonic mean of source AUC, target AUC and pAUC per machine",
    section_metrics=SECTION_METRICS,
    table_metrics=TABLE_METRICS,
    submission_names=(
        "{kind}_{machine}_{section}_test.csv",
        "{kind}_{machine}_{section}.csv",
        "{kind}_DCASE2023T2{machine}_{section}_test_seed*.csv",
    ),
    csv=CSV,
)
