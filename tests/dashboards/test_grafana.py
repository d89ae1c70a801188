"""The Grafana files have the documented format, and agree with each other."""

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


def test_every_file_has_a_schema() -> None:
    files = {str(path.relative_to(PROVISIONING)) for path in PROVISIONING.rglob("*.*")}
    assert files == {*SCHEMAS, str(DASHBOARD.relative_to(PROVISIONING))}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_file_has_the_documented_format(name: str) -> None:
    jsonschema.validate(load(name), SCHEMAS[name])


def test_the_dashboard_has_the_documented_format() -> None:
    jsonschema.validate(dashboard(), DASHBOARD_FILE)


def test_no_value_is_mistaken_for_an_environment_variable() -> None:
    for name in SCHEMAS:
        for path, text in strings(load(name)):
            # Grafana expands $NAME everywhere but in annotations and the model of a query.
            if {"annotations", "model"} & set(path):
                assert "$$" not in text, (name, path)
            else:
                assert "$" not in text.replace("$$", ""), (name, path)


def strings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:  # noqa: ANN401
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from strings(member, (*path, key))
    elif isinstance(value, list):
        for item in value:
            yield from strings(item, path)


def test_uids_and_titles_are_unique() -> None:
    for key in ("uid", "title"):
        values = [rule[key] for rule in alerts()]
        assert len(values) == len(set(values))


def test_the_evaluation_interval_is_a_multiple_of_grafanas_ten_seconds() -> None:
    for group in load("alerting/rules.yaml")["groups"]:
        assert seconds(group["interval"]) % 10 == 0


every_alert = pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["title"]))


@every_alert
def test_the_stages_of_an_alert_refer_to_each_other(rule: dict[str, Any]) -> None:
    query, reduce, threshold = rule["data"]
    assert rule["condition"] == threshold["refId"]
    assert reduce["model"]["expression"] == query["refId"]
    assert threshold["model"]["expression"] == reduce["refId"]
    for stage in rule["data"]:
        assert stage["model"]["refId"] == stage["refId"]
        assert stage["model"]["datasource"]["uid"] == stage["datasourceUid"]
    assert query["datasourceUid"] in datasource_uids()
    assert reduce["datasourceUid"] == threshold["datasourceUid"] == "__expr__"
    assert query["relativeTimeRange"]["from"] > query["relativeTimeRange"]["to"]


@every_alert
def test_a_measurement_that_does_not_exist_raises_no_alert(rule: dict[str, Any]) -> None:
    assert not fires(rule, rule["data"][1]["model"]["settings"]["replaceWithValue"])


def test_only_an_unreachable_monitor_alerts_if_there_is_no_data() -> None:
    states = {rule["title"]: (rule["noDataState"], rule["execErrState"]) for rule in alerts()}
    assert states.pop("AsdDown") == ("Alerting", "Alerting")
    assert set(states.values()) == {("OK", "OK")}


def test_grafana_and_prometheus_have_the_same_alerts() -> None:
    def described(rules: list[dict[str, Any]], name: str) -> dict[str, tuple[str, str, bool]]:
        return {
            rule[name]: (
                rule["for"],
                rule["labels"]["severity"],
                "{{ $labels" in rule["annotations"]["summary"],
            )
            for rule in rules
        }

    assert described(alerts(), "title") == described(prometheus_rules(), "alert")


def test_an_alert_links_to_a_panel_of_the_dashboard() -> None:
    panel_ids = {panel["id"] for panel in panels()}
    for rule in alerts():
        assert rule["dashboardUid"] == dashboard()["uid"]
        assert rule["panelId"] in panel_ids


def test_every_route_has_a_contact_point_and_every_alert_a_route() -> None:
    points = {point["name"] for point in load("alerting/contact-points.yaml")["contactPoints"]}
    (policy,) = load("alerting/policies.yaml")["policies"]
    assert {policy["receiver"], *(route["receiver"] for route in policy["routes"])} <= points
    for rule in alerts():
        assert any(
            all(rule["labels"].get(name) == value for name, _, value in route["object_matchers"])
            for route in policy["routes"]
        )


def test_the_provider_reads_the_folder_of_the_dashboard() -> None:
    (provider,) = load("dashboards/asd-monitor.yaml")["providers"]
    installed = Path("/etc/grafana/provisioning") / DASHBOARD.parent.relative_to(PROVISIONING)
    assert Path(provider["options"]["path"]) == installed


def test_the_dashboard_opens_on_a_day_and_shows_the_present_too() -> None:
    assert dashboard()["time"] == {"from": "now-24h", "to": "now"}
    (live,) = (panel for panel in panels() if panel["title"] == "Score now")
    assert seconds(live["timeFrom"]) <= 3600


def test_a_week_and_a_month_are_one_click_away_and_have_panels() -> None:
    ranges = {
        link["title"]: re.search("from=now-([^&]+)", link["url"]) for link in dashboard()["links"]
    }
    spans = {title: seconds(found[1]) for title, found in ranges.items() if found is not None}
    assert spans == {"Hour": 3600, "Day": 86_400, "Week": 604_800, "Month": 2_592_000}
    assert all(link["url"].startswith("/d/asd-monitor?") for link in dashboard()["links"])
    month = [panel for panel in panels() if panel.get("timeFrom") == "30d"]
    assert len(month) == 3


def test_the_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        grid = panel["gridPos"]
        columns = range(grid["x"], grid["x"] + grid["w"])
        rows = range(grid["y"], grid["y"] + grid["h"])
        cells = {(x, y) for x in columns for y in rows}
        assert columns.stop <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_panels_have_ids_data_sources_and_units() -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels():
        assert panel["targets"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs))
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        if panel["type"] == "timeseries":
            defaults = panel["fieldConfig"]["defaults"]
            assert defaults["unit"]
            assert defaults["custom"]["axisLabel"]
            assert defaults["custom"]["spanNulls"] is False


@pytest.mark.parametrize(
    ("title", "states"),
    [("State", State), ("State over time", State), ("Source over time", SourceState)],
)
def test_every_state_has_its_text_and_a_colour(
    title: str, states: type[State] | type[SourceState]
) -> None:
    (panel,) = (panel for panel in panels() if panel["title"] == title)
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    text_of = {code: option["text"] for code, option in mapping["options"].items()}
    assert sorted(text_of.values()) == sorted(states)
    assert all(option["color"] for option in mapping["options"].values())
    (target,) = panel["targets"]
    codes = re.findall(r'state="(\w+)"} \* (\d+)', target["expr"])
    assert {code: state for state, code in codes} == text_of


def test_a_timeline_of_states_displays_their_texts_and_colours() -> None:
    timelines = [panel for panel in panels() if panel["type"] == "state-timeline"]
    assert timelines
    for panel in timelines:
        # With colours by threshold, Grafana would not use the mapping for merged values.
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
        # Without limits, Grafana's library left the panel blank at p = 1e-59.
        assert 0 < axis["min"] < axis["max"]


def test_an_annotation_has_the_same_expression_in_the_old_format_and_the_new() -> None:
    queries = [entry for entry in dashboard()["annotations"]["list"] if "expr" in entry]
    assert queries
    for query in queries:
        assert query["target"]["expr"] == query["expr"]


def test_the_data_source_of_the_dashboard_is_the_provisioned_one() -> None:
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    assert variables["datasource"]["current"]["value"] in datasource_uids()
    assert {"machine", "instance"} <= set(variables)
