"""Scoring rules of DCASE 2025 Task 2: those of 2023, over 8 machines (24 numbers)."""

from dataclasses import replace

from asd_offline.evaluation.rules.dcase2023 import RULES_2023

RULES_2025 = replace(
    RULES_2023,
    year=2025,
    submission_names=(
        "{kind}_{machine}_{section}_test.csv",
        "{kind}_{machine}_{section}.csv",
        "{kind}_DCASE2025T2{machine}_{section}_test_seed*.csv",
    ),
)
