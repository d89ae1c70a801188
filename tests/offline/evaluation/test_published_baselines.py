"""The official score of published results follows from the metrics of their machines."""

import pytest

from asd_offline.datasets import CHALLENGES
from asd_offline.evaluation.metrics import harmonic_mean
from asd_offline.evaluation.rules import RULES
from tests.offline.published_baselines import MAHALANOBIS, MSE, Row
from tests.rig.paths import ROOT

RESULTS = [
    pytest.param(year, *result, id=f"{name} {year}")
    for name, years in (("mse", MSE), ("mahalanobis", MAHALANOBIS))
    for year, result in years.items()
]


@pytest.mark.parametrize(("year", "total", "machines"), RESULTS)
def test_the_published_score_is_the_harmonic_mean_of_its_numbers(
    year: int, total: float, machines: dict[str, Row]
) -> None:
    parts = RULES[year].score_parts
    assert parts == ("auc_source", "auc_target", "pauc")
    numbers = [number for row in machines.values() for number in row]
    assert len(numbers) == {2024: 27, 2025: 24, 2026: 15}[year]
    # The published metrics have two decimals, the published score is exact.
    assert harmonic_mean([n / 100 for n in numbers]) * 100 == pytest.approx(total, abs=0.005)


@pytest.mark.parametrize(("year", "total", "machines"), RESULTS)
def test_published_machines_are_those_of_the_evaluation_set(
    year: int, total: float, machines: dict[str, Row]
) -> None:
    del total
    assert list(machines) == CHALLENGES[year].sort_machines(CHALLENGES[year].sets["eval"])


@pytest.mark.parametrize(("year", "total", "machines"), RESULTS)
def test_the_documentation_has_the_published_numbers(
    year: int, total: float, machines: dict[str, Row]
) -> None:
    del year
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert f"{total:.2f}" in text
    for machine, row in machines.items():
        cells = "/".join(f"{number:.2f}" for number in row)
        assert any(
            line.startswith(f"| {machine} |") and cells in line for line in text.splitlines()
        )
