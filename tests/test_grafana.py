"""The Grafana files: in the documented format, and every expression runs on real data."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prometheus_client import CollectorRegistry

from asd_monitor.metrics import Metrics
from asd_monitor.records import SourceState, State
from asd_monitor.sinks.prometheus import PrometheusSettings, PrometheusSink
from tests.rig.metrics_story import MACHINES, tell
from tests.rig.prometheus import Prometheus, running_prometheus
from tests.test_prometheus_rules import rules as prometheus_rules

PROVISIONING = Path(__file__).parents[1] / "configs" / "grafana" / "provisioning"
DASHBOARD = PROVISIONING / "dashboards" / "asd-monitor" / "asd-monitor.json"

UID = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"}
TEXT = {"type": "string", "minLength": 1}
DURATION = {"type": "string", "pattern": r"^(\d+(s|m|h|d))+$"}
ORG = {"type": "integer", "minimum": 1}


def record(required: dict[str, Any], **optional: Any) -> dict[str, Any]:  # noqa: ANN401
    """JSON Schema of an object with these keys and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


def listed(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": of}


VERSION = {"const": 1}
SEVERITY = {"enum": ["critical", "warning"]}
TIME_RANGE = record({"from": {"type": "integer"}, "to": {"type": "integer"}})

# The keys as Grafana's file provisioning documents them; for a query's model see below.
RULE_FILE = record(
    {
        "apiVersion": VERSION,
        "groups": listed(
            record(
                {
                    "orgId": ORG,
                    "name": TEXT,
                    "folder": TEXT,
                    "interval": DURATION,
                    "rules": listed(
                        record(
                            {
                                "uid": UID,
                                "title": TEXT,
                                "condition": TEXT,
                                "for": DURATION,
                                "data": listed(
                                    record(
                                        {
                                            "refId": TEXT,
                                            "datasourceUid": TEXT,
                                            "relativeTimeRange": TIME_RANGE,
                                            "model": {"type": "object"},
                                        }
                                    )
                                ),
                                "noDataState": {"enum": ["NoData", "Alerting", "OK"]},
                                "execErrState": {"enum": ["Error", "Alerting", "OK"]},
                                "labels": record({"severity": SEVERITY, "component": TEXT}),
                                "annotations": record({"summary": TEXT, "description": TEXT}),
                                "dashboardUid": UID,
                                "panelId": {"type": "integer"},
                            }
                        )
                    ),
                }
            )
        ),
    }
)
EMAIL = record({"addresses": TEXT}, singleEmail={"type": "boolean"})
RECEIVER = record(
    {"uid": UID, "type": {"const": "email"}, "settings": EMAIL},
    disableResolveMessage={"type": "boolean"},
)
CONTACT_FILE = record(
    {
        "apiVersion": VERSION,
        "contactPoints": listed(
            record({"orgId": ORG, "name": TEXT, "receivers": listed(RECEIVER)})
        ),
    }
)
ROUTE_KEYS: dict[str, Any] = {
    "group_by": listed(TEXT),
    "group_wait": DURATION,
    "group_interval": DURATION,
    "repeat_interval": DURATION,
}
MATCHER = {
    "type": "array",
    "prefixItems": [TEXT, {"enum": ["=", "!=", "=~", "!~"]}, TEXT],
    "minItems": 3,
    "maxItems": 3,
}
ROUTE = record({"receiver": TEXT, "object_matchers": listed(MATCHER)}, **ROUTE_KEYS)
POLICY_FILE = record(
    {
        "apiVersion": VERSION,
        "policies": listed(
            record({"orgId": ORG, "receiver": TEXT}, routes=listed(ROUTE), **ROUTE_KEYS)
        ),
    }
)
DATASOURCE_FILE = record(
    {
        "apiVersion": VERSION,
        "datasources": listed(
            record(
                {"name": TEXT, "type": TEXT, "access": {"enum": ["proxy", "direct"]}, "uid": UID},
                orgId=ORG,
                url={"type": "string", "pattern": "^https?://"},
                isDefault={"type": "boolean"},
                editable={"type": "boolean"},
                jsonData=record({}, httpMethod={"enum": ["POST", "GET"]}, timeInterval=DURATION),
            )
        ),
    }
)
PROVIDER_FILE = record(
    {
        "apiVersion": VERSION,
        "providers": listed(
            record(
                {"name": TEXT, "type": {"const": "file"}, "options": record({"path": TEXT})},
                orgId=ORG,
                folder=TEXT,
                disableDeletion={"type": "boolean"},
                updateIntervalSeconds={"type": "integer", "minimum": 10},
                allowUiUpdates={"type": "boolean"},
            )
        ),
    }
)
SCHEMAS = {
    "alerting/rules.yaml": RULE_FILE,
    "alerting/contact-points.yaml": CONTACT_FILE,
    "alerting/policies.yaml": POLICY_FILE,
    "datasources/asd-monitor.yaml": DATASOURCE_FILE,
    "dashboards/asd-monitor.yaml": PROVIDER_FILE,
}


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


def seconds(duration: str) -> int:
    unit_s = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(n) * unit_s[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))


def test_every_file_is_checked() -> None:
    files = {str(path.relative_to(PROVISIONING)) for path in PROVISIONING.rglob("*.*")}
    assert files == {*SCHEMAS, str(DASHBOARD.relative_to(PROVISIONING))}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_file_has_the_documented_keys(name: str) -> None:
    jsonschema.validate(load(name), SCHEMAS[name])


def test_no_value_is_taken_for_an_environment_variable() -> None:
    for name in SCHEMAS:
        for path, text in strings(load(name)):
            # Grafana expands $NAME in every value but annotations and a query's model.
            if not {"annotations", "model"} & set(path):
                assert "$" not in text.replace("$$", ""), (name, path)
            else:
                assert "$$" not in text, (name, path)


def strings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ANN401
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from strings(each, (*path, key))
    elif isinstance(value, list):
        for each in value:
            yield from strings(each, path)


def test_uids_and_titles_are_unique() -> None:
    for key in ("uid", "title"):
        found = [rule[key] for rule in alerts()]
        assert len(found) == len(set(found))


def test_a_group_is_evaluated_at_a_multiple_of_grafanas_ten_seconds() -> None:
    for group in load("alerting/rules.yaml")["groups"]:
        assert seconds(group["interval"]) % 10 == 0


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["title"]))
def test_an_alert_is_a_query_its_last_value_and_a_threshold(rule: dict[str, Any]) -> None:
    query, reduce, threshold = rule["data"]
    assert rule["condition"] == threshold["refId"]
    for each in rule["data"]:
        assert each["model"]["refId"] == each["refId"]
        assert each["model"]["datasource"]["uid"] == each["datasourceUid"]
    assert query["datasourceUid"] in datasource_uids()
    assert query["model"]["instant"] is True
    assert query["relativeTimeRange"]["from"] > query["relativeTimeRange"]["to"]
    assert reduce["datasourceUid"] == threshold["datasourceUid"] == "__expr__"
    assert reduce["model"]["type"] == "reduce"
    assert reduce["model"]["reducer"] == "last"
    assert reduce["model"]["expression"] == query["refId"]
    assert reduce["model"]["settings"]["mode"] == "replaceNN"
    assert threshold["model"]["type"] == "threshold"
    assert threshold["model"]["expression"] == reduce["refId"]
    (condition,) = threshold["model"]["conditions"]
    assert condition["evaluator"]["type"] in {"gt", "lt"}
    assert len(condition["evaluator"]["params"]) == 1


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["title"]))
def test_a_measurement_that_does_not_exist_raises_no_alert(rule: dict[str, Any]) -> None:
    _, reduce, threshold = rule["data"]
    evaluator = threshold["model"]["conditions"][0]["evaluator"]
    assert not fires(evaluator, reduce["model"]["settings"]["replaceWithValue"])


def fires(evaluator: dict[str, Any], value: float) -> bool:
    (limit,) = evaluator["params"]
    return bool(value > limit if evaluator["type"] == "gt" else value < limit)


def test_only_the_dead_daemon_alerts_where_there_is_no_data() -> None:
    states = {rule["title"]: (rule["noDataState"], rule["execErrState"]) for rule in alerts()}
    assert states.pop("AsdDown") == ("Alerting", "Alerting")
    assert set(states.values()) == {("OK", "OK")}


def test_grafana_and_prometheus_know_the_same_alerts() -> None:
    in_grafana = {
        rule["title"]: (rule["for"], rule["labels"]["severity"], "{{ $labels" in text)
        for rule in alerts()
        for text in [rule["annotations"]["summary"]]
    }
    in_prometheus = {
        rule["alert"]: (rule["for"], rule["labels"]["severity"], "{{ $labels" in text)
        for rule in prometheus_rules()
        for text in [rule["annotations"]["summary"]]
    }
    assert in_grafana == in_prometheus


def test_an_alert_links_to_a_panel_of_the_dashboard() -> None:
    known = {panel["id"]: panel["title"] for panel in panels()}
    for rule in alerts():
        assert rule["dashboardUid"] == dashboard()["uid"]
        assert rule["panelId"] in known


def test_every_route_leads_to_a_contact_point_and_matches_our_labels() -> None:
    points = {each["name"] for each in load("alerting/contact-points.yaml")["contactPoints"]}
    (policy,) = load("alerting/policies.yaml")["policies"]
    assert {policy["receiver"], *(route["receiver"] for route in policy["routes"])} <= points
    for rule in alerts():
        assert any(
            all(rule["labels"].get(name) == value for name, _, value in route["object_matchers"])
            for route in policy["routes"]
        )


def test_the_provider_reads_the_folder_that_holds_the_dashboard() -> None:
    (provider,) = load("dashboards/asd-monitor.yaml")["providers"]
    installed = Path("/etc/grafana/provisioning") / DASHBOARD.parent.relative_to(PROVISIONING)
    assert Path(provider["options"]["path"]) == installed


def test_the_dashboards_panels_have_ids_places_sources_and_units() -> None:
    board = dashboard()
    jsonschema.validate(board["uid"], UID)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in panels():
        assert panel["title"]
        assert panel["targets"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs))
        for source in (panel["datasource"], *(each["datasource"] for each in panel["targets"])):
            assert source == {"type": "prometheus", "uid": "${datasource}"}
        if panel["type"] == "timeseries":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["fieldConfig"]["defaults"]["custom"]["axisLabel"]
            assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False


def test_every_state_has_its_own_text_and_a_colour() -> None:
    expected: dict[str, list[str]] = {
        "State": [str(each) for each in State],
        "State over time": [str(each) for each in State],
        "Source over time": [str(each) for each in SourceState],
    }
    assert set(expected) <= {panel["title"] for panel in panels()}
    for panel in panels():
        if panel["title"] in expected:
            (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
            texts = {code: each["text"] for code, each in mapping["options"].items()}
            assert sorted(texts.values()) == sorted(expected[panel["title"]])
            assert all(each["color"] for each in mapping["options"].values())
            (target,) = panel["targets"]
            coded = re.findall(r'state="(\w+)"} \* (\d+)', target["expr"])
            assert {code: name for name, code in coded} == texts


def test_the_dashboards_data_source_is_the_provisioned_one() -> None:
    variables = {each["name"]: each for each in dashboard()["templating"]["list"]}
    assert variables["datasource"]["current"]["value"] in datasource_uids()
    assert {"machine", "instance"} <= set(variables)


@dataclass(frozen=True)
class Expression:
    where: str
    text: str

    def __str__(self) -> str:
        return self.where


MAY_BE_EMPTY = {
    # nothing of the kind has happened in the run below
    "panel Dropped, reconnects, errors D",
    "annotation Alarms",
}


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


def substituted(expression: str, instance: str) -> str:
    for name, value in {
        "$__rate_interval": "5s",
        "$__interval": "1s",
        "$__range": "1m",
        "$instance": re.escape(instance).replace("\\", "\\\\"),
        "$machine": "|".join(MACHINES),
    }.items():
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, str]]:
    """A Prometheus that scraped a sink which is fed as a monitor of two machines feeds it."""
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(MACHINES)
    metrics.sink_errors.labels("mqtt")
    metrics.mqtt_connected.set(1)
    sink = PrometheusSink(PrometheusSettings(port=0), metrics)
    tell(sink)
    sink.open()
    instance = f"127.0.0.1:{sink.port}"
    try:
        with running_prometheus(tmp_path_factory.mktemp("prometheus"), instance) as server:
            server.wait_for("asd_windows_total")
            for number in range(1, 5):
                tell(sink, number)
                metrics.mqtt_messages.labels("published").inc(20)
                counted = metrics.registry.get_sample_value(
                    "asd_windows_total", {"machine": "pump", "result": "scored"}
                )
                server.wait_for(f'asd_windows_total{{machine="pump",result="scored"}} == {counted}')
            server.wait_for("rate(process_cpu_seconds_total[5s])")
            yield server, instance
    finally:
        sink.close()


@pytest.mark.parametrize("expression", expressions(), ids=str)
def test_an_expression_runs_on_a_real_prometheus(
    expression: Expression, scraped: tuple[Prometheus, str]
) -> None:
    server, instance = scraped
    result = server.query(substituted(expression.text, instance))
    if expression.where not in MAY_BE_EMPTY:
        assert result


def test_the_score_panel_shows_score_and_threshold_of_each_machine(
    scraped: tuple[Prometheus, str],
) -> None:
    server, instance = scraped
    (panel,) = (each for each in panels() if each.get("repeat") == "machine")
    shown = [server.query(substituted(each["expr"], instance)) for each in panel["targets"]]
    for series in shown:
        assert {each["metric"]["machine"] for each in series} == set(MACHINES)


def test_the_variables_offer_what_was_scraped(scraped: tuple[Prometheus, str]) -> None:
    server, instance = scraped
    offered = {}
    for variable in dashboard()["templating"]["list"]:
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        if match is not None:
            selector, label = match.groups()
            values = server.label_values(label, substituted(selector, instance))
            offered[variable["name"]] = sorted(values)
    assert offered == {"instance": [instance], "machine": sorted(MACHINES)}


def test_the_alerts_see_what_happened_and_nothing_else(scraped: tuple[Prometheus, str]) -> None:
    server, instance = scraped
    firing = set()
    for rule in alerts():
        query, _, threshold = rule["data"]
        evaluator = threshold["model"]["conditions"][0]["evaluator"]
        for series in server.query(substituted(query["model"]["expr"], instance)):
            if fires(evaluator, float(series["value"][1])):
                firing.add((rule["title"], series["metric"].get("machine", "")))
    # the story ends with the pump's alarm cleared, and both machines' last scores high
    assert firing == {
        ("AsdAnomaly", "fan/id_00"),
        ("AsdScoreHigh", "fan/id_00"),
        ("AsdScoreHigh", "pump"),
        ("AsdAudioLost", "fan/id_00"),
        ("AsdAudioLost", "pump"),
    }


def test_every_series_that_an_expression_names_exists() -> None:
    metrics = Metrics(CollectorRegistry())
    known = set()
    for metric in metrics.registry.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
        known |= {metric.name + suffix for suffix in suffixes.get(metric.type, [""])}
    named = {
        name
        for text in [
            *(each.text for each in expressions()),
            *(rule["expr"] for rule in prometheus_rules()),
            *(str(each.get("definition", "")) for each in dashboard()["templating"]["list"]),
        ]
        for name in re.findall(r"\basd_\w+", text)
    }
    assert named
    assert named <= known
