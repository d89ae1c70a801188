"""JSON Schemas of the parts of Grafana's documented file formats that are used here.

They are written as shapes: an object with all its keys (``key?`` is optional), or a non-empty list
with its one kind of item.
"""

from typing import Any


class Schema(dict[str, Any]):
    """A JSON Schema, as opposed to a shape."""


Shape = Schema | dict[str, "Shape"] | list["Shape"]


def schema(shape: Shape) -> Schema:
    """Return the JSON Schema of a shape."""
    if isinstance(shape, Schema):
        return shape
    if isinstance(shape, list):
        return Schema(type="array", minItems=1, items=schema(shape[0]))
    return Schema(
        type="object",
        required=[key for key in shape if not key.endswith("?")],
        properties={key.removesuffix("?"): schema(member) for key, member in shape.items()},
        additionalProperties=False,
    )


def one_of(*values: object) -> Schema:
    return Schema(enum=list(values))


def among_others(shape: dict[str, Shape]) -> Schema:
    """Return the schema of an object with these keys and any others."""
    return Schema({**schema(shape), "additionalProperties": True})


def tuple_of(*items: Shape) -> Schema:
    """Return the schema of a list with exactly these items."""
    count = len(items)
    prefix = [schema(item) for item in items]
    return Schema(type="array", prefixItems=prefix, minItems=count, maxItems=count)


ANYTHING = Schema()
BOOLEAN = Schema(type="boolean")
INTEGER = Schema(type="integer")
NUMBER = Schema(type="number")
TEXT = Schema(type="string", minLength=1)
UID = Schema(type="string", pattern="^[a-zA-Z0-9_-]{1,40}$")
DURATION = Schema(type="string", pattern=r"^(\d+(s|m|h|d))+$")
ORG = Schema(type="integer", minimum=1)
VERSION = one_of(1)


def stage(model: dict[str, Shape]) -> dict[str, Shape]:
    """Return the shape of a stage of an alert rule."""
    return {
        "refId": TEXT,
        "datasourceUid": TEXT,
        "relativeTimeRange": {"from": INTEGER, "to": INTEGER},
        "model": among_others(model),
    }


QUERY = stage({"instant": one_of(True), "expr": TEXT})
LAST_VALUE = stage(
    {
        "type": one_of("reduce"),
        "reducer": one_of("last"),
        "settings": {"mode": one_of("replaceNN"), "replaceWithValue": NUMBER},
    }
)
THRESHOLD = stage(
    {
        "type": one_of("threshold"),
        "conditions": [{"evaluator": {"type": one_of("gt", "lt"), "params": tuple_of(NUMBER)}}],
    }
)
ALERT: Shape = {
    "uid": UID,
    "title": TEXT,
    "condition": TEXT,
    "for": DURATION,
    "data": tuple_of(QUERY, LAST_VALUE, THRESHOLD),
    "noDataState": one_of("NoData", "Alerting", "OK"),
    "execErrState": one_of("Error", "Alerting", "OK"),
    "labels": {"severity": one_of("critical", "warning"), "component": TEXT},
    "annotations": {"summary": TEXT, "description": TEXT},
    "dashboardUid": UID,
    "panelId": INTEGER,
}
ALERTS: Shape = [
    {"orgId": ORG, "name": TEXT, "folder": TEXT, "interval": DURATION, "rules": [ALERT]}
]
RECEIVER: Shape = {
    "uid": UID,
    "type": one_of("email"),
    "settings": {"addresses": TEXT, "singleEmail?": BOOLEAN},
    "disableResolveMessage?": BOOLEAN,
}
GROUPING: dict[str, Shape] = {
    "group_by?": [TEXT],
    "group_wait?": DURATION,
    "group_interval?": DURATION,
    "repeat_interval?": DURATION,
}
MATCHER = tuple_of(TEXT, one_of("=", "!=", "=~", "!~"), TEXT)
ROUTE: Shape = {"receiver": TEXT, "object_matchers": [MATCHER], **GROUPING}
DATA_SOURCE: Shape = {
    "name": TEXT,
    "type": TEXT,
    "access": one_of("proxy", "direct"),
    "uid": UID,
    "orgId?": ORG,
    "url?": Schema(type="string", pattern="^https?://"),
    "isDefault?": BOOLEAN,
    "editable?": BOOLEAN,
    "jsonData?": {"httpMethod?": one_of("POST", "GET"), "timeInterval?": DURATION},
}
PROVIDER: Shape = {
    "name": TEXT,
    "type": one_of("file"),
    "options": {"path": TEXT},
    "orgId?": ORG,
    "folder?": TEXT,
    "disableDeletion?": BOOLEAN,
    "updateIntervalSeconds?": Schema(type="integer", minimum=10),
    "allowUiUpdates?": BOOLEAN,
}
FILES: dict[str, Shape] = {
    "alerting/rules.yaml": {"apiVersion": VERSION, "groups": ALERTS},
    "alerting/contact-points.yaml": {
        "apiVersion": VERSION,
        "contactPoints": [{"orgId": ORG, "name": TEXT, "receivers": [RECEIVER]}],
    },
    "alerting/policies.yaml": {
        "apiVersion": VERSION,
        "policies": [{"orgId": ORG, "receiver": TEXT, "routes?": [ROUTE], **GROUPING}],
    },
    "datasources/asd-monitor.yaml": {"apiVersion": VERSION, "datasources": [DATA_SOURCE]},
    "dashboards/asd-monitor.yaml": {"apiVersion": VERSION, "providers": [PROVIDER]},
}
SCHEMAS = {name: schema(shape) for name, shape in FILES.items()}

DISPLAY: Shape = {"text": TEXT, "color": TEXT, "index": INTEGER}
VALUE_MAPPING: Shape = {
    "type": one_of("value"),
    "options": Schema(
        type="object",
        patternProperties={"^[0-9]+$": schema(DISPLAY)},
        additionalProperties=False,
    ),
}
SPECIAL_MAPPING: Shape = {
    "type": one_of("special"),
    "options": {
        "match": one_of("true", "false", "null", "nan", "null+nan", "empty"),
        "result": DISPLAY,
    },
}
MAPPINGS = Schema(type="array", items={"oneOf": [schema(VALUE_MAPPING), schema(SPECIAL_MAPPING)]})
STEPS = Schema(
    type="array",
    prefixItems=[schema({"color": TEXT, "value": Schema(type="null")})],
    items=schema({"color": TEXT, "value": NUMBER}),
    minItems=1,
)
FIELD_DEFAULTS = among_others(
    {
        # Grafana inserts a space before the suffix.
        "unit?": Schema(pattern=r"^(none|short|s|bytes|percentunit|sci|suffix:\S+)$"),
        "color?": {
            "mode": one_of("thresholds", "palette-classic", "fixed"),
            "fixedColor?": TEXT,
        },
        "mappings?": MAPPINGS,
        "thresholds?": {"mode": one_of("absolute"), "steps": STEPS},
    }
)
GRID = Schema(type="integer", minimum=0, maximum=24)
PANEL = among_others(
    {
        "id": Schema(type="integer", minimum=1),
        "type": one_of("row", "stat", "timeseries", "state-timeline", "table", "bargauge"),
        "title": TEXT,
        "gridPos": {"h": GRID, "w": GRID, "x": GRID, "y": INTEGER},
        "fieldConfig?": {"defaults": FIELD_DEFAULTS, "overrides": Schema(type="array")},
    }
)
PANEL["if"] = {"properties": {"type": one_of("row")}}
PANEL["else"] = {"required": ["description", "datasource", "fieldConfig", "options", "targets"]}
VARIABLE = among_others(
    {
        "name": TEXT,
        "type": one_of("query", "datasource"),
        "query": ANYTHING,
        "current": ANYTHING,
        "hide": one_of(0, 1, 2),
    }
)
DASHBOARD_FILE = among_others(
    {
        "uid": Schema(type="string", pattern="^[a-zA-Z0-9_-]{8,40}$"),
        "title": TEXT,
        "schemaVersion": Schema(type="integer", minimum=36),
        "graphTooltip?": one_of(0, 1, 2),
        "refresh?": DURATION,
        "panels": [PANEL],
        "templating": {"list": [VARIABLE]},
        "annotations": {"list": Schema(type="array")},
        "time": {"from": TEXT, "to": TEXT},
    }
)
# Numeric ids belong to a server, and __inputs to dashboards that are imported manually.
DASHBOARD_FILE["not"] = {"anyOf": [{"required": ["id"]}, {"required": ["__inputs"]}]}
