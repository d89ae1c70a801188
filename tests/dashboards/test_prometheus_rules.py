"""The Prometheus files are valid, and every alert has unit tests that can fail."""

import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rig.monitoring_files import RULES, prometheus_rules
from tests.rig.paths import CONFIGS
from tests.rig.prometheus import promtool

(UNIT_TESTS,) = RULES.parent.glob("*_test.yaml")

every_rule = pytest.mark.parametrize(
    "rule", prometheus_rules(), ids=lambda rule: str(rule["alert"])
)


def test_the_configuration_is_valid_and_finds_the_rules_but_not_their_tests() -> None:
    done = promtool("check", "config", CONFIGS / "prometheus" / "prometheus.yml")
    assert done.returncode == 0, done.stdout
    assert "1 rule files found" in done.stdout


def test_the_rules_pass_their_unit_tests() -> None:
    done = promtool("test", "rules", UNIT_TESTS)
    assert done.returncode == 0, done.stdout


def checked_transitions(alert: str) -> set[tuple[bool, bool]]:
    """Return the changes, from firing to firing, that the unit tests of an alert check."""
    transitions = set()
    for case in yaml.safe_load(UNIT_TESTS.read_text())["tests"]:
        firing = [
            bool(check["exp_alerts"])
            for check in case.get("alert_rule_test", [])
            if check["alertname"] == alert
        ]
        transitions |= set(pairwise(firing))
    return transitions


@every_rule
def test_an_alert_waits_explains_itself_and_is_tested_for_firing_and_recovery(
    rule: dict[str, Any],
) -> None:
    assert re.fullmatch(r"\d+[sm]", rule["for"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert {(False, True), (True, False)} <= checked_transitions(rule["alert"])


@every_rule
def test_the_unit_tests_detect_a_rule_that_never_fires(
    rule: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copy(UNIT_TESTS, tmp_path)
    content = yaml.safe_load(RULES.read_text())
    for other in content["groups"][0]["rules"]:
        if other["alert"] == rule["alert"]:
            other["expr"] = "vector(1) > 2"
    (tmp_path / RULES.name).write_text(yaml.safe_dump(content))
    done = promtool("test", "rules", tmp_path / UNIT_TESTS.name)
    assert done.returncode != 0
    assert rule["alert"] in done.stdout
