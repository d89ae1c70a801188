"""Scoring rules of DCASE 2026 Task 2: those of 2023, over 5 machines (15 numbers)."""

from dataclasses import replace

from asd_offline.evaluation.rules.dcase2023 import RULES_2023

RULES_2026 = replace(
    RULES_2023,
    year=2026,
    submission_names=(
        "{kind}_{machine}_{section}_test.csv",
        "{kind}_{machine}_{section}.csv",
        "{kind}_DCASE2026T2{machine}_{section}_test_seed*.csv",
    ),
)
