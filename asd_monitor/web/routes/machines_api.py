"""The API of machines: their state and their history."""

from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from asd_monitor.detectability.sentences import describe
from asd_monitor.history.records import MinuteRow, ScoreRow
from asd_monitor.telemetry.status import MachineStatus
from asd_monitor.web import parameters
from asd_monitor.web.context import WebContext, context_of, machine_of
from asd_monitor.web.detectability import find_result
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.machine_state import describe_machine

DAY_S = 86_400.0
MAX_POINTS = 2000
MAX_WINDOWS_S = 6 * 3600.0
"""Up to this time single windows are returned, beyond it minutes or longer spans."""
MIN_SUMMARIES = 5
"""If there are fewer minutes, as in the first minutes of a machine, single windows are returned."""


def machines(request: Request) -> Response:
    """Return the state of every machine, in the order of the settings."""
    return JSONResponse({"machines": describe_machines(context_of(request))})


def describe_machines(context: WebContext) -> list[dict[str, Any]]:
    """Return the state of every machine."""
    status = context.status()
    described = []
    for id_, name in context.machines.items():
        time = context.times.of(id_)
        machine = status.machines.get(id_, MachineStatus())
        described.append(describe_machine(id_, name, machine, time.since_s, time.event_id))
    return described


def machine(request: Request) -> Response:
    """Return the state of one machine."""
    id_ = machine_of(request)
    (found,) = (one for one in describe_machines(context_of(request)) if one["id"] == id_)
    return JSONResponse(found)


def detectability(request: Request) -> Response:
    """Return which faults the model of a machine can and cannot detect."""
    context, id_ = context_of(request), machine_of(request)
    status = context.status().machines.get(id_, MachineStatus())
    result = find_result(context, id_, status)
    return JSONResponse(
        {
            "machine": id_,
            "sentence": "" if result is None else describe(result),
            "result": None if result is None else result.to_dict(),
        }
    )


def history(request: Request) -> Response:
    """Return the scores and states of a machine in a time."""
    context, id_ = context_of(request), machine_of(request)
    now = context.clock()
    to_s = parameters.moment(request, "to", now)
    from_s = parameters.moment(request, "from", to_s - DAY_S)
    points = int(parameters.number(request, "points", 500, 1, MAX_POINTS))
    scores = list_scores(context, id_, from_s, to_s, points)
    spans = context.archive.spans(id_, from_s, to_s)
    seconds = context.archive.time_in_state(id_, from_s, to_s)
    return JSONResponse(
        {
            "machine": id_,
            "from": from_s,
            "to": to_s,
            "scores": scores,
            "states": [asdict(span) for span in spans],
            "time_in_state_s": {str(state): value for state, value in seconds.items()},
            "modes": [asdict(span) for span in context.archive.mode_spans(id_, from_s, to_s)],
            "time_in_mode_s": context.archive.time_in_mode(id_, from_s, to_s),
        }
    )


def list_scores(
    context: WebContext, machine: str, from_s: float, to_s: float, points: int
) -> list[dict[str, Any]]:
    """Return scores as rows of one shape.

    They are of single windows in short times and where little has been recorded yet, otherwise of
    minutes or longer spans.
    """
    if to_s - from_s > MAX_WINDOWS_S:
        summaries = context.archive.minutes(machine, from_s, to_s, points)
        if len(summaries) >= MIN_SUMMARIES:
            return [_describe_summary(row) for row in summaries]
    windows = context.archive.scores(machine, from_s, to_s, points)
    return [_describe_window(row) for row in windows]


def _describe_summary(row: MinuteRow) -> dict[str, Any]:
    return {
        "at": row.start_s + row.length_s / 2,
        "lowest": row.lowest,
        "median": row.median,
        "highest": row.highest,
        "windows": row.windows,
        "over": row.over,
        "level_dbfs": row.level_dbfs,
        "threshold": row.threshold,
        "normal_range": row.normal_range,
        "state": str(row.worst_state),
        "lost_samples": row.lost_samples,
    }


def _describe_window(row: ScoreRow) -> dict[str, Any]:
    return {
        "at": row.at_s,
        "lowest": row.value,
        "median": row.value,
        "highest": row.value,
        "windows": 1,
        "over": int(row.is_over),
        "level_dbfs": row.level_dbfs,
        "threshold": row.threshold,
        "normal_range": row.normal_range,
        "state": str(row.state),
        "lost_samples": row.lost_samples,
    }


ENDPOINTS = [
    Endpoint("/api/v1/machines", machines),
    Endpoint("/api/v1/machines/{machine}", machine),
    Endpoint("/api/v1/machines/{machine}/detectability", detectability),
    Endpoint("/api/v1/machines/{machine}/history", history),
]
