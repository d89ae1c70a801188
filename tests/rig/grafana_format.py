"""The format of Grafana's files as its documentation gives it, for what is used here."""

from typing import Any

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


# The parts of Grafana's dashboard kind that are used here.
COLOR = record(
    {"mode": {"enum": ["thresholds", "palette-classic", "fixed"]}}, fixedColor={"type": "string"}
)
SHOWN_AS = record({"text": TEXT, "color": TEXT, "index": {"type": "integer"}})
VALUE_MAPPING = record(
    {
        "type": {"const": "value"},
        "options": {
            "type": "object",
            "patternProperties": {"^[0-9]+$": SHOWN_AS},
            "additionalProperties": False,
        },
    }
)
SPECIAL_MAPPING = record(
    {
        "type": {"const": "special"},
        "options": record(
            {
                "match": {"enum": ["true", "false", "null", "nan", "null+nan", "empty"]},
                "result": SHOWN_AS,
            }
        ),
    }
)
STEPS = {
    "type": "array",
    "prefixItems": [record({"color": TEXT, "value": {"type": "null"}})],
    "items": record({"color": TEXT, "value": {"type": "number"}}),
    "minItems": 1,
}
FIELD_DEFAULTS = {
    "type": "object",
    "properties": {
        # Grafana puts a space before the suffix.
        "unit": {"pattern": r"^(none|short|s|bytes|percentunit|sci|suffix:\S+)$"},
        "color": COLOR,
        "mappings": {
            "type": "array",
            "items": {"oneOf": [VALUE_MAPPING, SPECIAL_MAPPING]},
        },
        "thresholds": record({"mode": {"const": "absolute"}, "steps": STEPS}),
    },
}
GRID = {"type": "integer", "minimum": 0, "maximum": 24}
PANEL = {
    "type": "object",
    "required": ["id", "type", "title", "gridPos"],
    "if": {"properties": {"type": {"const": "row"}}},
    "else": {"required": ["description", "datasource", "fieldConfig", "options", "targets"]},
    "properties": {
        "id": {"type": "integer", "minimum": 1},
        "type": {
            "enum": ["row", "stat", "timeseries", "state-timeline", "table", "bargauge"],
        },
        "title": TEXT,
        "gridPos": record({"h": GRID, "w": GRID, "x": GRID, "y": {"type": "integer"}}),
        "fieldConfig": record({"defaults": FIELD_DEFAULTS, "overrides": {"type": "array"}}),
    },
}
VARIABLE = {
    "type": "object",
    "required": ["name", "type", "query", "current", "hide"],
    "properties": {"type": {"enum": ["query", "datasource"]}, "hide": {"enum": [0, 1, 2]}},
}
DASHBOARD_FILE = {
    "type": "object",
    "required": ["uid", "title", "schemaVersion", "panels", "templating", "annotations", "time"],
    "properties": {
        "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{8,40}$"},
        "title": TEXT,
        "schemaVersion": {"type": "integer", "minimum": 36},
        "graphTooltip": {"enum": [0, 1, 2]},
        "refresh": DURATION,
        "panels": listed(PANEL),
        "templating": record({"list": listed(VARIABLE)}),
        "annotations": record({"list": {"type": "array"}}),
        "time": record({"from": TEXT, "to": TEXT}),
    },
    # Numeric ids are the server's own, __inputs belong to dashboards for import by hand.
    "not": {"anyOf": [{"required": ["id"]}, {"required": ["__inputs"]}]},
}
