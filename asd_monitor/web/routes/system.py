"""The page about the monitor itself."""

import platform
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from asd_monitor.history.backup import write_backup
from asd_monitor.web.access_store import Role
from asd_monitor.web.context import WebContext, context_of, identity_of
from asd_monitor.web.diagnosis import CheckResult, Diagnosis
from asd_monitor.web.downloads import check_room_for_backup, make_download, size_of
from asd_monitor.web.endpoint import Endpoint

LOG_LINES = 50
DROPPED, RESULT = "asd_dropped_total", "asd_mqtt_messages_total"


def system(request: Request) -> Response:
    """Return versions, sources, disk and licences."""
    return _render(request)


def check(request: Request) -> Response:
    """Run the checks of the doctor, and return the page with what they found."""
    context = context_of(request)
    with _one_at_a_time(context):
        findings = _diagnosis_of(context).check()
    return _render(request, findings)


def backup(request: Request) -> Response:
    """Return history, events and models in one file."""
    context = context_of(request)
    root = context.archive.root
    with _one_at_a_time(context):
        check_room_for_backup(root, context.archive.size_bytes())
        return make_download("asd-monitor-backup", ".tar", partial(write_backup, root))


def support(request: Request) -> Response:
    """Return what support needs to know in one file, without sound and secrets."""
    context = context_of(request)
    diagnosis = _diagnosis_of(context)

    def write(out: Path) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as log:
            log.write("".join(f"{line}\n" for line in context.log.lines()))
            log.flush()
            diagnosis.write_support_file(out, Path(log.name))

    with _one_at_a_time(context):
        return make_download("asd-monitor-support", ".tar.gz", write)


def _render(request: Request, findings: Sequence[CheckResult] | None = None) -> Response:
    context = context_of(request)
    is_admin = identity_of(request).role >= Role.ADMIN
    values = {
        "title": "System",
        "status": context.status(),
        "machines": context.machines,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "folder": str(context.archive.root),
        "disk": shutil.disk_usage(context.archive.root),
        "history_bytes": context.archive.size_bytes(),
        "events_bytes": size_of(context.archive.root / "events"),
        "broker": _describe_broker(context),
        "dropped": _count_dropped(context),
        "started_s": context.started_s,
        "is_open": context.is_open,
        "is_admin": is_admin,
        "can_check": is_admin and context.diagnosis is not None,
        "findings": findings,
        "log": context.log.lines()[-LOG_LINES:] if is_admin else [],
    }
    return context.pages.render(request, "system.html", values)


def _describe_broker(context: WebContext) -> str:
    """Return the state of the MQTT broker in words; empty if that is not known."""
    value = context.metrics.registry.get_sample_value
    published = value(RESULT, {"result": "published"}) or 0
    if context.setup is None:
        return f"{published:.0f} messages published" if published else ""
    settings = context.setup.section("mqtt")
    if not settings.get("host"):
        return "none"
    state = "connected" if value("asd_mqtt_connected") else "not connected"
    return f"{settings['host']}:{settings['port']}, {state}, {published:.0f} messages published"


def _count_dropped(context: WebContext) -> dict[str, int]:
    """Return how many records each queue has lost."""
    return {
        sample.labels["queue"].replace("_", " "): round(sample.value)
        for metric in context.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == DROPPED and sample.value
    }


def _diagnosis_of(context: WebContext) -> Diagnosis:
    if context.diagnosis is None:
        raise HTTPException(404)
    return context.diagnosis


@contextmanager
def _one_at_a_time(context: WebContext) -> Iterator[None]:
    """Refuse a second check or download meanwhile: they would keep all worker threads busy."""
    if not context.long_work.acquire(blocking=False):
        raise HTTPException(503, "Another page checks or downloads something; try again soon.")
    try:
        yield
    finally:
        context.long_work.release()


ENDPOINTS = [
    Endpoint("/system", system),
    Endpoint("/system/check", check, role=Role.ADMIN, methods=("POST",)),
    Endpoint("/system/backup", backup, role=Role.ADMIN, methods=("POST",)),
    Endpoint("/system/support", support, role=Role.ADMIN, methods=("POST",)),
]
