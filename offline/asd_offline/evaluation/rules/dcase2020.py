"""Scoring rules of DCASE 2020 Task 2: AUC and pAUC per machine id, arithmetic means.

The official score here is the mean of AUC and pAUC; the challenge itself ranked teams by their mean
rank.
"""

from asd_offline.evaluation.rules.scoring_rules import CsvForm, ScoringRules

RULES_2020 = ScoringRules(
    year=2020,
    section_word="id",
    domains="none",
    score_parts=("auc", "pauc"),
    mean="arithmetic",
    formula="mean of AUC and pAUC over ids, then machines",
    section_metrics=("auc", "pauc"),
    table_metrics=("auc", "pauc"),
    submission_names=("{kind}_{machine}_{section}.csv",),
    has_decisions=False,
    means_by_machine=True,
    csv=CsvForm(
        file_name="result_{system}.csv",
        heading=("id", "AUC", "pAUC"),
        rows=(("", ("auc", "pauc")),),
        has_average_row=True,
        has_totals=False,
    ),
)
