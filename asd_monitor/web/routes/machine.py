"""The pages of one machine: now, and over time."""

import csv
import io
import time
from dataclasses import replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from asd_monitor.calibration.calibration import PROVISIONAL_BELOW
from asd_monitor.judging.calibration_reset import can_reset
from asd_monitor.judging.feedback import find_feedback
from asd_monitor.records import State
from asd_monitor.telemetry.status import MachineStatus
from asd_monitor.web import parameters
from asd_monitor.web.context import context_of, machine_of
from asd_monitor.web.detectability import make_view
from asd_monitor.web.endpoint import Endpoint
from asd_monitor.web.machine_card import make_card
from asd_monitor.web.routes.machines_api import list_scores
from asd_monitor.web.strip import make_mode_strips, make_strip

DAY_S = 86_400.0
RANGES_S = {"24h": DAY_S, "7d": 7 * DAY_S, "30d": 30 * DAY_S, "1y": 365 * DAY_S}
RANGE_WORDS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days", "1y": "1 year"}
MAX_DAYS = 31
RECENT_EVENTS = 5
NO_SCORE_WORDS = {
    State.OFF: "not scored while it is off",
    State.LEARNING: "not scored while it is learned",
    State.UNKNOWN: "not scored: there is no usable sound",
}
"""What is shown where a machine has no score."""
SECTIONS = ("_learned.html", "_detectability.html", "_silence.html")
"""Templates of the sections below the live ones, in order; each is one card with an id."""


def machine(request: Request) -> Response:
    """Return the page of a machine as it is now."""
    context, id_ = context_of(request), machine_of(request)
    status = context.status().machines.get(id_, MachineStatus())
    card = make_card(context, id_, context.machines[id_], status)
    open_event = context.archive.event(card.event_id)
    values = {
        "title": context.machines[id_],
        "card": replace(card, event_headline=open_event.headline if open_event else ""),
        "status": status,
        "modes": context.archive.time_in_mode(id_, context.clock() - DAY_S, context.clock()),
        "open_verdict": open_event.verdict if open_event else "",
        "about": "" if context.setup is None else context.setup.about(id_),
        "now": context.clock(),
        "has_sound": id_ in context.rings,
        "provisional_below": PROVISIONAL_BELOW,
        "can_reset": can_reset(context.judging, id_),
        "was_reset": request.query_params.get("limits") == "reset",
        "learned": context.find_learned(id_),
        "sections": SECTIONS,
        "no_score_words": NO_SCORE_WORDS,
        "events": context.archive.events(id_, limit=RECENT_EVENTS),
        "alarm": status.alarm,
        "detectability": make_view(context, id_, status),
        "feedback": find_feedback(context.judging, id_),
        "asks_name": context.is_open,
    }
    return context.pages.render(request, "machine.html", values)


def trend(request: Request) -> Response:
    """Return the page of a machine over a day to a year."""
    context, id_ = context_of(request), machine_of(request)
    name = parameters.choice(request, "range", tuple(RANGES_S), "24h")
    now = context.clock()
    from_s = now - RANGES_S[name]
    values = {
        "title": f"{context.machines[id_]}: trend",
        "machine": id_,
        "name": context.machines[id_],
        "range": name,
        "ranges": RANGE_WORDS,
        "from_s": from_s,
        "to_s": now,
        "calibration": context.status().machines.get(id_, MachineStatus()).calibration,
        "strip": make_strip(context.archive.spans(id_, from_s, now), from_s, now),
        "modes": make_mode_strips(context.archive.mode_spans(id_, from_s, now), from_s, now),
        "events": context.archive.events(id_, from_s=from_s, to_s=now),
        "days": _list_days(request, id_, from_s, now),
        "states": [State.ALARM, State.WARNING, State.UNKNOWN, State.NORMAL, State.OFF],
    }
    return context.pages.render(request, "trend.html", values)


def trend_csv(request: Request) -> Response:
    """Return the scores of the trend as CSV."""
    context, id_ = context_of(request), machine_of(request)
    name = parameters.choice(request, "range", tuple(RANGES_S), "24h")
    now = context.clock()
    rows = list_scores(context, id_, now - RANGES_S[name], now, 2000)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = ("lowest", "median", "highest", "windows", "over", "level_dbfs", "threshold",
            "normal_range", "state")  # fmt: skip
    writer.writerow(["time_utc", *keys])
    for row in rows:
        at = datetime.fromtimestamp(row["at"], UTC).isoformat(timespec="seconds")
        writer.writerow([at, *(row[key] for key in keys)])
    headers = {"Content-Disposition": f'attachment; filename="{id_}-{name}.csv"'}
    return Response(text.getvalue(), media_type="text/csv", headers=headers)


def _list_days(
    request: Request, machine: str, from_s: float, to_s: float
) -> list[tuple[str, int, dict[State, float]]]:
    """Return date, alarms, and seconds in each state of the newest days, the newest first."""
    archive, today = context_of(request).archive, time.localtime(to_s)
    alarms = [
        event.opened_s
        for event in archive.events(machine, from_s=from_s, to_s=to_s, limit=1000)
        if event.peak_state is State.ALARM
    ]
    days: list[tuple[str, int, dict[State, float]]] = []
    end_s = to_s
    for n in range(MAX_DAYS):
        day = (today.tm_year, today.tm_mon, today.tm_mday - n, 0, 0, 0, 0, 0, -1)
        day_s = time.mktime(day)
        seconds = archive.time_in_state(machine, max(day_s, from_s), end_s)
        if seconds:
            count = sum(day_s <= opened_s < end_s for opened_s in alarms)
            days.append((time.strftime("%Y-%m-%d", time.localtime(day_s)), count, seconds))
        end_s = day_s
        if end_s <= from_s:
            break
    return days


ENDPOINTS = [
    Endpoint("/m/{machine}", machine),
    Endpoint("/m/{machine}/trend", trend),
    Endpoint("/m/{machine}/trend.csv", trend_csv),
]
