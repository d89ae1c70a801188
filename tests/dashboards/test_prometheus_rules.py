"""The Prometheus files: valid, unit-tested for every alert, and about series that exist."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rig.monitoring_files import RULES, prometheus_rules
from tests.rig.paths import CONFIGS
from tests.rig.prometheus import promtool

UNIT_TESTS = sorted(RULES.parent.glob("*_test.yaml"))


def test_the_configuration_is_valid_and_finds_the_rules_but_not_their_tests() -> None:
    done = promtool("check", "config", CONFIGS / "prometheus" / "prometheus.yml")
    assert done.returncode == 0, done.stdout
    assert "1 rule files found" in done.stdout


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.name)
def test_the_rules_pass_their_unit_tests(path: Path) -> None:
    done = promtool("test", "rules", path)
    assert done.returncode == 0, done.stdout


def unit_tested(alert: str) -> tuple[bool, bool, bool]:
    """Whether an alert's tests see it silent at first, firing, and silent again."""
    silent, fires, recovers = False, False, False
    for path in UNIT_TESTS:
        for story in yaml.safe_load(path.read_text())["tests"]:
            seen = [
                bool(each["exp_alerts"])
                for each in story.get("alert_rule_test", [])
                if each["alertname"] == alert
            ]
            if True in seen:
                first = seen.index(True)
                fires = True
                silent = silent or False in seen[:first]
                recovers = recovers or False in seen[first:]
    return silent, fires, recovers


@pytest.mark.parametrize("rule", prometheus_rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_waits_explains_itself_and_is_tested_all_ways(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[sm]", rule["for"])
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "description"}
    assert unit_tested(rule["alert"]) == (True, True, True)


@pytest.mark.parametrize("rule", prometheus_rules(), ids=lambda rule: str(rule["alert"]))
def test_the_unit_tests_notice_a_rule_that_never_fires(
    rule: dict[str, Any], tmp_path: Path
) -> None:
    for path in UNIT_TESTS:
        shutil.copy(path, tmp_path)
    groups = yaml.safe_load(RULES.read_text())
    for each in groups["groups"][0]["rules"]:
        if each["alert"] == rule["alert"]:
            each["expr"] = "vector(1) > 2"
    (tmp_path / RULES.name).write_text(yaml.safe_dump(groups))
    done = promtool("test", "rules", tmp_path / UNIT_TESTS[0].name)
    assert done.returncode != 0
    assert rule["alert"] in done.stdout
