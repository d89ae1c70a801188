"""Put a notification into words."""

import time
from dataclasses import dataclass

from asd_monitor.judging.actions import describe_duration
from asd_monitor.sinks.notify.plan import Notice
from asd_monitor.sinks.notify.settings import Kind
from asd_monitor.sinks.payloads import NO_NAMES, Names

_TITLES = {
    Kind.ALARM: "ALARM",
    Kind.WARNING: "Warning",
    Kind.CLEARED: "Normal again",
    Kind.LOST: "No sound",
    Kind.RECOVERED: "Sound again",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A notification in words."""

    kind: Kind
    title: str
    body: str
    picture: str = ""
    """Path of a picture to attach; empty for none."""


def compose(notice: Notice, now: float, names: Names = NO_NAMES, external_url: str = "") -> Message:
    """Return the message of a notification.

    Parameters
    ----------
    notice
        What it is about.
    now
        The present time, in seconds since the epoch.
    names
        Names of the machines for people, by id.
    external_url
        URL of the web page, for a link; empty for none.
    """
    name = names.get(notice.machine, notice.machine)
    title = f"{_TITLES[notice.kind]}: {name}"
    if notice.repeats:
        title = f"Still not acknowledged, {_TITLES[notice.kind].lower()}: {name}"
    is_end = notice.kind in (Kind.CLEARED, Kind.RECOVERED)
    headline = "" if is_end else notice.headline  # it describes the trouble while it lasted
    lines = [_sentence(headline), _sentence(notice.reason), _describe_time(notice, now)]
    if notice.others:
        count = "1 more event" if notice.others == 1 else f"{notice.others} more events"
        lines.append(f"{count} since the last notification.")
    if notice.provisional and notice.kind in (Kind.ALARM, Kind.WARNING):
        lines.append("The threshold is provisional: little normal sound was learned.")
    if external_url:
        page = f"/events/{notice.event_id}" if notice.event_id else f"/m/{notice.machine}"
        lines.append(external_url.rstrip("/") + page)
    return Message(notice.kind, title, "\n".join(filter(None, lines)), notice.picture)


def _describe_time(notice: Notice, now: float) -> str:
    began = _format_time(notice.at_s, now)
    if notice.ended_s is None:
        return f"Since {began}."
    length = describe_duration(notice.ended_s - notice.at_s)
    ended = "" if notice.kind in (Kind.CLEARED, Kind.RECOVERED) else "It is normal again. "
    return f"{ended}It began at {began} and lasted {length}."


def _format_time(at_s: float, now: float) -> str:
    same_day = time.localtime(at_s)[:3] == time.localtime(now)[:3]
    return time.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M", time.localtime(at_s))


def _sentence(text: str) -> str:
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."
