"""docs/schemas/openapi.yaml describes the API, and the API keeps to it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from asd_monitor.records import AlarmStatus, MachineAlarm, SourceState, State
from asd_monitor.web.archive import FILES
from asd_monitor.web.machine_state import describe_alarm
from asd_monitor.web.routes import ENDPOINTS
from tests.rig.paths import DOCS
from tests.rig.raw_http import connect, request
from tests.rig.web_site import EVENT, OLD_EVENT, Site, web_site

DOCUMENT: dict[str, Any] = yaml.safe_load((DOCS / "schemas" / "openapi.yaml").read_text())
API = [endpoint for endpoint in ENDPOINTS if endpoint.path.startswith("/api/")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with web_site(tmp_path_factory.mktemp("state")) as running:
        yield running


def check(value: object, schema: dict[str, Any]) -> None:
    jsonschema.validate(value, {**schema, "components": DOCUMENT["components"]})


def schema_of(path: str, status: str = "200") -> dict[str, Any]:
    response = DOCUMENT["paths"][path]["get"]["responses"][status]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    schema: dict[str, Any] = response["content"]["application/json"]["schema"]
    return schema


def test_every_route_is_described_and_no_other() -> None:
    routes = {(endpoint.path, method.lower()) for endpoint in API for method in endpoint.methods}
    described = {
        (path, method)
        for path, item in DOCUMENT["paths"].items()
        for method in item.keys() - {"parameters"}
    }
    assert described == routes


def test_routes_without_a_role_are_described_as_public() -> None:
    public = {endpoint.path for endpoint in API if endpoint.role is None}
    described = {
        path
        for path, item in DOCUMENT["paths"].items()
        for method in item.keys() - {"parameters"}
        if item[method].get("security") == []
    }
    assert described == public


def test_parameters_in_paths_are_described() -> None:
    for path, item in DOCUMENT["paths"].items():
        parameters = [
            DOCUMENT["components"]["parameters"][one["$ref"].rsplit("/", 1)[1]]
            if "$ref" in one
            else one
            for one in item.get("parameters", [])
        ]
        named = {one["name"] for one in parameters if one["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def test_an_acknowledgement_is_as_described() -> None:
    alarm = MachineAlarm("pump", AlarmStatus.ACKNOWLEDGED, 1.8e9, EVENT, 1, "fault", None, "anna")
    check(describe_alarm(alarm), DOCUMENT["components"]["schemas"]["Alarm"])


def test_enumerations_are_those_of_the_program() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert set(schemas["State"]["enum"]) == {str(state) for state in State}
    assert set(schemas["Sound"]["properties"]["state"]["enum"]) == {
        str(state) for state in SourceState
    }
    assert set(schemas["Alarm"]["properties"]["status"]["enum"]) == {
        str(status) for status in AlarmStatus
    }
    (_, file, _) = DOCUMENT["paths"]["/api/v1/events/{event}/{file}"]["parameters"]
    assert set(file["schema"]["enum"]) == FILES


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/api/v1/machines", "/api/v1/machines"),
        *[
            ("/api/v1/machines/{machine}", f"/api/v1/machines/{machine}")
            for machine in ("pump", "compressor-2", "mixer")
        ],
        *[
            ("/api/v1/machines/{machine}/detectability", f"/api/v1/machines/{name}/detectability")
            for name in ("pump", "fan")
        ],
        ("/api/v1/machines/{machine}/history", "/api/v1/machines/pump/history"),
        ("/api/v1/machines/{machine}/history", "/api/v1/machines/pump/history?from=2026-01-01"),
        ("/api/v1/machines/{machine}/history", "/api/v1/machines/mixer/history?to=1796040000"),
        ("/api/v1/events", "/api/v1/events?open=no"),
        ("/api/v1/events/{event}", f"/api/v1/events/{EVENT}"),
        ("/api/v1/events/{event}", f"/api/v1/events/{OLD_EVENT}"),
    ],
)
def test_a_response_is_as_described(site: Site, path: str, url: str) -> None:
    answer = request(site.port, path=url)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    check(json.loads(answer.body), schema_of(path))


@pytest.mark.parametrize(
    ("path", "url", "status"),
    [
        ("/api/v1/machines/{machine}", "/api/v1/machines/other", 404),
        ("/api/v1/machines/{machine}/history", "/api/v1/machines/pump/history?points=x", 400),
        ("/api/v1/events", "/api/v1/events?machine=other", 400),
        ("/api/v1/events", "/api/v1/events?open=maybe", 400),
        ("/api/v1/events/{event}", "/api/v1/events/other", 404),
    ],
)
def test_an_error_is_as_described(site: Site, path: str, url: str, status: int) -> None:
    answer = request(site.port, path=url)
    assert answer.status == status
    check(json.loads(answer.body), schema_of(path, str(status)))


def test_the_stream_begins_with_the_full_state(site: Site) -> None:
    with connect(site.port) as stream:
        stream.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b"\n\n" not in received:
            received += stream.recv(65536)
    message = received.partition(b"event: hello\ndata: ")[2].partition(b"\n\n")[0]
    hello = json.loads(message)
    assert hello["node"] == "plant-1"
    for machine in hello["machines"]:
        check(machine, DOCUMENT["components"]["schemas"]["Machine"])
