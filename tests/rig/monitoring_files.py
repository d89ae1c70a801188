"""The Prometheus and Grafana files of configs/, and their expressions on a running Prometheus."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

from tests.rig.paths import CONFIGS
from tests.rig.prometheus import Prometheus

PROVISIONING = CONFIGS / "grafana" / "provisioning"
DASHBOARD = PROVISIONING / "dashboards" / "asd-monitor" / "asd-monitor.json"
RULES = CONFIGS / "prometheus" / "rules" / "asd-monitor.rules.yaml"


def load(name: str) -> Any:  # noqa: ANN401
    """Return the content of a YAML file for Grafana."""
    return yaml.safe_load((PROVISIONING / name).read_text())


def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return content


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    """Return Grafana's alert rules."""
    return [rule for group in load("alerting/rules.yaml")["groups"] for rule in group["rules"]]


def datasource_uids() -> set[str]:
    return {source["uid"] for source in load("datasources/asd-monitor.yaml")["datasources"]}


def prometheus_rules() -> list[dict[str, Any]]:
    """Return Prometheus's alert rules."""
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


@dataclass(frozen=True)
class Expression:
    """An expression in Grafana's files."""

    location: str
    text: str


def expressions() -> list[Expression]:
    """Return all expressions in Grafana's files."""
    return [
        *(
            Expression(f"panel {panel['title']} {target['refId']}", target["expr"])
            for panel in panels()
            for target in panel["targets"]
        ),
        *(
            Expression(f"annotation {annotation['name']}", annotation["expr"])
            for annotation in dashboard()["annotations"]["list"]
            if "expr" in annotation
        ),
        *(
            Expression(f"alert {rule['title']}", rule["data"][0]["model"]["expr"])
            for rule in alerts()
        ),
    ]


def substituted(expression: str, target: str, machines: Iterable[str]) -> str:
    """Return an expression with Grafana's variables replaced by their values."""
    for name, value in {
        "$__rate_interval": "10s",
        "$__interval": "1s",
        "$__range": "1m",
        "$instance": re.escape(target).replace("\\", "\\\\"),
        "$machine": "|".join(machines),
    }.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def evaluate(server: Prometheus, expression: str, machines: Iterable[str]) -> list[dict[str, Any]]:
    """Return the series that Grafana would display."""
    return server.query(substituted(expression, server.target, machines))


def fires(rule: dict[str, Any], value: float) -> bool:
    """Return whether a Grafana alert fires at a value of its expression."""
    evaluator = rule["data"][2]["model"]["conditions"][0]["evaluator"]
    (limit,) = evaluator["params"]
    return bool(value > limit if evaluator["type"] == "gt" else value < limit)


def firing_alerts(server: Prometheus, machines: Iterable[str]) -> set[tuple[str, str]]:
    """Return the titles and machines of Grafana's alerts whose condition holds now."""
    return {
        (rule["title"], series["metric"].get("machine", ""))
        for rule in alerts()
        for series in evaluate(server, rule["data"][0]["model"]["expr"], machines)
        if fires(rule, float(series["value"][1]))
    }
