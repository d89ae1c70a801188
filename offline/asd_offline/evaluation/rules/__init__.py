"""Scoring rules of the DCASE challenges, one file per year.

The folders and file names of a year are in :mod:`asd_offline.datasets.layouts`.
"""

from asd_monitor.errors import DatasetError
from asd_offline.evaluation.rules.dcase2020 import RULES_2020
from asd_offline.evaluation.rules.dcase2021 import RULES_2021
from asd_offline.evaluation.rules.dcase2022 import RULES_2022
from asd_offline.evaluation.rules.dcase2023 import RULES_2023
from asd_offline.evaluation.rules.dcase2024 import RULES_2024
from asd_offline.evaluation.rules.dcase2025 import RULES_2025
from asd_offline.evaluation.rules.dcase2026 import RULES_2026
from asd_offline.evaluation.rules.scoring_rules import ScoringRules

RULES: dict[int, ScoringRules] = {
    2020: RULES_2020,
    2021: RULES_2021,
    2022: RULES_2022,
    2023: RULES_2023,
    2024: RULES_2024,
    2025: RULES_2025,
    2026: RULES_2026,
}
"""Scoring rules by year."""


def scoring_rules(year: int) -> ScoringRules:
    """Return the rules of a year.

    Raises
    ------
    DatasetError
        If there are none.
    """
    if year not in RULES:
        expected = ", ".join(str(known) for known in RULES)
        msg = f"year {year}: expected one of {expected}"
        raise DatasetError(msg)
    return RULES[year]


def applicable_rules(year: int | None, *, has_domains: bool) -> ScoringRules:
    """Return the rules of a year, or for recordings of no challenge the ones that fit.

    These compute AUC and pAUC of each section, and the metrics of domains if there are any.
    """
    if year is not None:
        return scoring_rules(year)
    return RULES_2022 if has_domains else RULES_2020
