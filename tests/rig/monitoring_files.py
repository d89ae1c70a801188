"""The Prometheus and Grafana files of configs/."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from tests.rig.paths import CONFIGS

PROVISIONING = CONFIGS / "grafana" / "provisioning"
DASHBOARD = PROVISIONING / "dashboards" / "asd-monitor" / "asd-monitor.json"
RULES = CONFIGS / "prometheus" / "rules" / "asd-monitor.rules.yaml"


def load(name: str) -> Any:  # noqa: ANN401
    return yaml.safe_load((PROVISIONING / name).read_text())


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in load("alerting/rules.yaml")["groups"] for rule in group["rules"]]


def datasource_uids() -> set[str]:
    return {each["uid"] for each in load("datasources/asd-monitor.yaml")["datasources"]}


def prometheus_rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def fires(evaluator: dict[str, Any], value: float) -> bool:
    (limit,) = evaluator["params"]
    return bool(value > limit if evaluator["type"] == "gt" else value < limit)


@dataclass(frozen=True)
class Expression:
    where: str
    text: str

    def __str__(self) -> str:
        return self.where


def expressions() -> list[Expression]:
    board = dashboard()
    found = [
        Expression(f"panel {panel['title']} {target['refId']}", target["expr"])
        for panel in panels()
        for target in panel["targets"]
    ]
    found += [
        Expression(f"annotation {each['name']}", each["expr"])
        for each in board["annotations"]["list"]
        if "expr" in each
    ]
    found += [
        Expression(f"alert {each['title']}", each["data"][0]["model"]["expr"]) for each in alerts()
    ]
    return found


def substituted(expression: str, instance: str, machines: Iterable[str]) -> str:
    """The expression as Grafana sends it, its variables replaced."""
    for name, value in {
        "$__rate_interval": "10s",
        "$__interval": "1s",
        "$__range": "1m",
        "$instance": re.escape(instance).replace("\\", "\\\\"),
        "$machine": "|".join(machines),
    }.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression
