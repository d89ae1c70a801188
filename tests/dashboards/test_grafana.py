"""The Grafana files are in the documented format, and agree with each other."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from asd_monitor.records import SourceState, State
from tests.rig.grafana_format import DASHBOARD_FILE, SCHEMAS
from tests.rig.monitoring_files import (
    DASHBOARD,
    PROVISIONING,
    alerts,
    dashboard,
    datasource_uids,
    fires,
    load,
    panels,
    prometheus_rules,
)


def seconds(duration: str) -> int:
    unit_s = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(n) * unit_s[unit] for n, unit in re.findall(r"(\d+)([smhd])", duration))


def test_every_file_is_checked() -> None:
    files = {str(path.relative_to(PROVISIONING)) for path in PROVISIONING.rglob("*.*")}
    assert files == {*SCHEMAS, str(DASHBOARD.relative_to(PROVISIONING))}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_file_has_the_documented_keys(name: str) -> None:
    jsonschema.validate(load(name), SCHEMAS[name])


def test_the_dashboard_has_the_documented_structure() -> None:
    jsonschema.validate(dashboard(), DASHBOARD_FILE)


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


def test_a_timeline_of_states_shows_their_texts_and_colours() -> None:
    timelines = [panel for panel in panels() if panel["type"] == "state-timeline"]
    assert timelines
    for panel in timelines:
        # Grafana shows a merged value by its threshold, not by its mapping, if thresholds colour it
        assert panel["options"]["mergeValues"]
        assert panel["fieldConfig"]["defaults"]["color"]["mode"] == "fixed"


def test_a_logarithmic_axis_has_limits() -> None:
    axes = [
        panel["fieldConfig"]["defaults"]
        for panel in panels()
        if panel["type"] == "timeseries"
        and panel["fieldConfig"]["defaults"]["custom"]["scaleDistribution"]["type"] == "log"
    ]
    assert axes
    for axis in axes:
        # without limits Grafana's library left the panel blank at the 1e-59 of a machine in ALARM
        assert 0 < axis["min"] < axis["max"]


def test_an_annotation_asks_the_same_in_the_old_form_and_the_new() -> None:
    asked = [each for each in dashboard()["annotations"]["list"] if "expr" in each]
    assert asked
    for each in asked:
        assert each["target"]["expr"] == each["expr"]


def test_the_dashboards_data_source_is_the_provisioned_one() -> None:
    variables = {each["name"]: each for each in dashboard()["templating"]["list"]}
    assert variables["datasource"]["current"]["value"] in datasource_uids()
    assert {"machine", "instance"} <= set(variables)
