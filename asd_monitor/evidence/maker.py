"""Make, complete and publish the evidence of events.

Whatever fails is counted and reported: the event then has no clip.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asd_monitor.errors import AsdMonitorError
from asd_monitor.evidence.build import Evidence, Reference, build, encode_description
from asd_monitor.evidence.clip import encode_flac, read_flac
from asd_monitor.evidence.event_history import EventHistory, NoHistory
from asd_monitor.evidence.headline import complete_duration
from asd_monitor.evidence.nearest import NormalRecordings
from asd_monitor.evidence.ring import Cut, SoundRing
from asd_monitor.evidence.settings import EvidenceSettings, Keep
from asd_monitor.evidence.store import (
    CLIP,
    DESCRIPTION,
    PICTURE,
    EvidenceStore,
    NoRoomError,
    read_description,
)
from asd_monitor.evidence.watch import Part, Request
from asd_monitor.normal_sound.statistics import comparison_window_s
from asd_monitor.records import EvidenceReady, Record
from asd_monitor.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from asd_monitor.detection.detector import Detector

logger = logging.getLogger(__name__)

DELETION_INTERVAL_S = 3600.0


@dataclass(frozen=True)
class MachineSound:
    """The sound of a machine, and what it is compared with."""

    ring: SoundRing
    detector: "Callable[[], Detector | None]"
    """Returns the detector in use."""
    recordings: Path
    """Folder of its normal recordings."""
    is_live: bool = True
    """Whether its sound arrives in real time."""


@dataclass
class _Case:
    """Evidence of an open event."""

    evidence: Evidence
    machine: str
    start: int
    end: int
    has_files: bool
    problem: str = ""


class EvidenceMaker:
    """Make the evidence of events; used by one thread only.

    Parameters
    ----------
    settings
        What is kept.
    machines
        The machines by name.
    store
        Where it is kept.
    metrics
        Counts results.
    events
        Where events are recorded.
    post
        Hands a record to all sinks; may be called from any thread.
    external_url
        URL of the web page, for links; empty if it is not known.
    clock
        Seconds since the epoch.

    Attributes
    ----------
    settings, machines
        As given.
    """

    def __init__(
        self,
        settings: EvidenceSettings,
        machines: Mapping[str, MachineSound],
        store: EvidenceStore,
        metrics: Metrics,
        *,
        events: EventHistory | None = None,
        post: Callable[[Record], None] = lambda _record: None,
        external_url: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.machines = machines
        self._store = store
        self._metrics = metrics
        self._events = events or NoHistory()
        self._post = post
        self._external_url = external_url.rstrip("/")
        self._clock = clock
        self._next_deletion_s = 0.0
        self._cases: dict[str, _Case] = {}
        self._references: dict[str, tuple[str, Reference]] = {}

    def make(self, request: Request, cut: Cut) -> None:
        """Make or complete the evidence that is requested, from the sound of ``cut``."""
        case = self._cases.get(request.event_id)
        if request.part is Part.END:
            self._finish(request, cut, case)
        elif request.part is Part.REPEAT:
            self._repeat(request, cut, case)
        elif request.part is Part.OPENING and self._store.has(request.event_id):
            return  # from before a restart: it shows the beginning, which is gone from the ring
        else:
            self._make_clip(request, self._complete(request, cut, case))

    def _complete(self, request: Request, cut: Cut, case: _Case | None) -> Cut:
        """Return the sound of an extended clip, its beginning from the disk where necessary."""
        if case is None or cut.start <= case.start or not case.has_files:
            return cut
        try:
            earlier = read_flac(self._store.folder(request.event_id) / CLIP)
        except AsdMonitorError:
            return cut
        missing = cut.start - case.start
        if missing > len(earlier):
            return cut
        import numpy as np

        joined = np.concatenate([earlier[:missing], cut.samples])
        return Cut(joined, case.start, cut.sample_rate_hz)

    def _make_clip(self, request: Request, cut: Cut) -> None:
        if not len(cut.samples):
            self.report_failure(request, "its sound was no longer in memory")
            return
        try:
            evidence = build(request, cut, self._reference(request.machine), self.settings.keep)
        except AsdMonitorError as error:
            self.report_failure(request, str(error))
            return
        problem = self._write(request, evidence)
        case = _Case(evidence, request.machine, cut.start, cut.end, not problem, problem)
        self._cases[request.event_id] = case
        self._publish(request, case, ongoing=True)

    def _write(self, request: Request, evidence: Evidence) -> str:
        """Write the files of an event; return why that was not possible, or nothing."""
        try:
            self._store.write(request.event_id, request.machine, evidence.all_files())
        except OSError as error:
            self._count_files("failed")
            reason = str(error) if isinstance(error, NoRoomError) else error.strerror
            logger.warning("%s: its evidence is not kept: %s", request.event_id, reason)
            return f"no clip was kept: {reason}"
        self._count_files("kept")
        return ""

    def _repeat(self, request: Request, cut: Cut, case: _Case | None) -> None:
        if case is None:
            return
        if case.has_files and self.settings.keep is Keep.CLIP and len(cut.samples):
            name = f"clip-{request.repeat + 1}.flac"
            start_s = (cut.start - case.start) / cut.sample_rate_hz
            more = {"file": name, "from_s": round(start_s, 2), "duration_s": cut.duration_s}
            case.evidence.description["more_clips"].append(more)
            self._add(request, case, {name: encode_flac(cut.samples, cut.sample_rate_hz)})
        self._publish(request, case, ongoing=True)

    def _finish(self, request: Request, cut: Cut, case: _Case | None) -> None:
        if case is None:
            self._finish_earlier(request)
            return
        normal = self._reference(request.machine).normal
        if normal is not None:
            analysis = case.evidence.analysis.observe_end(cut, normal)
            case.evidence = replace(case.evidence, analysis=analysis)
        case.evidence.description["closed_s"] = request.closed_s
        self._publish(request, case, ongoing=False)
        self._add(request, case, {})
        del self._cases[request.event_id]

    def _finish_earlier(self, request: Request) -> None:
        """Complete the description of an event whose evidence an earlier run has made."""
        description = read_description(self._store.folder(request.event_id))
        if description is None:
            return
        began_s, ended_s = description.get("differs_from_s"), request.last_counted_s
        duration_s = None
        if isinstance(began_s, float) and ended_s is not None and ended_s > began_s:
            duration_s = ended_s - began_s
        headline = complete_duration(str(description["headline"]), duration_s)
        description |= {"headline": headline, "closed_s": request.closed_s}
        self._events.update(request.event_id, headline=headline)
        try:
            self._store.add(request.event_id, {DESCRIPTION: encode_description(description)})
        except OSError as error:
            logger.warning("%s: its evidence is not completed: %s", request.event_id, error)

    def _add(self, request: Request, case: _Case, files: dict[str, bytes]) -> None:
        if not case.has_files:
            return
        description = encode_description(case.evidence.description)
        try:
            self._store.add(request.event_id, {**files, DESCRIPTION: description})
        except OSError as error:
            self._count_files("failed")
            logger.warning("%s: its evidence is not completed: %s", request.event_id, error)
        else:
            self._count_files(None)

    def _publish(self, request: Request, case: _Case, *, ongoing: bool) -> None:
        """Update the event in the history and hand the evidence to the sinks."""
        evidence, settings = case.evidence, self.settings
        headline = evidence.analysis.headline(request.last_counted_end, ongoing=ongoing)
        evidence.description["headline"] = headline
        evidence.description["problem"] = case.problem
        evidence.description["state"] = str(request.state)
        if case.problem:
            headline = f"{headline} ({case.problem})"
        has_clip = case.has_files and settings.keep is Keep.CLIP
        clip_s = (case.end - case.start) / evidence.analysis.frames.sample_rate_hz
        fields: dict[str, Any] = {
            "headline": headline,
            "bands": evidence.analysis.bands(),
            "clip": CLIP if has_clip else "",
            "picture": PICTURE if case.has_files else "",
            "nearest_normal": evidence.nearest,
            "clip_s": clip_s if has_clip else 0.0,
        }
        self._events.update(request.event_id, **fields)
        folder = self._store.folder(request.event_id)
        url = f"{self._external_url}/events/{request.event_id}" if self._external_url else ""
        self._post(
            EvidenceReady(
                request.machine,
                request.event_id,
                self._clock(),
                headline,
                fields["bands"],
                picture=str(folder / PICTURE) if case.has_files else "",
                clip=str(folder / CLIP) if has_clip else "",
                clip_s=fields["clip_s"],
                url=url,
                is_final=not ongoing,
            )
        )

    def report_failure(self, request: Request, reason: str) -> None:
        """Count and log that an event has no evidence, and record it in the history."""
        self._count_files("failed")
        logger.warning("%s: it has no evidence: %s", request.event_id, reason)
        self._events.update(request.event_id, headline=f"no clip was kept: {reason}")

    def _reference(self, machine: str) -> Reference:
        """Return what a machine is compared with; read again when its model has changed."""
        detector = self.machines[machine].detector()
        if detector is None:
            return Reference()
        model, target = detector.model, detector.target_index(machine)
        cached = self._references.get(machine)
        if cached is not None and cached[0] == model.sha256:
            return cached[1]
        rate_hz = model.manifest.sample_rate_hz
        window_s = comparison_window_s(model.manifest.window_samples / rate_hz)
        recordings = NormalRecordings.read(
            self.machines[machine].recordings, rate_hz, round(window_s * rate_hz)
        )
        normal = model.normal_sound.get(model.manifest.targets[target])
        if normal is None and recordings is not None:
            normal = recordings.normal
        reference = Reference(normal, recordings, model, target)
        self._references[machine] = (model.sha256, reference)
        return reference

    def sweep(self) -> None:
        """Make folders and history agree after a crash."""
        try:
            self._events.reconcile(self._store.sweep())
        except (OSError, KeyError, TypeError, ValueError) as error:
            logger.warning("evidence: %s cannot be read: %r", self._store.root, error)
        self._count_files(None)

    def delete_old(self) -> None:
        """Delete evidence that is too old, once an hour."""
        now_s = time.monotonic()
        if now_s < self._next_deletion_s:
            return
        self._next_deletion_s = now_s + DELETION_INTERVAL_S
        try:
            if self._store.delete_old(self._clock(), self._cases):
                self._count_files(None)
        except OSError as error:
            logger.warning("evidence: old events cannot be deleted: %s", error)

    def _count_files(self, result: str | None) -> None:
        if result is not None:
            self._metrics.evidence.results.labels(result).inc()
        self._metrics.evidence.bytes.set(self._store.size_bytes)
        self._metrics.evidence.events.set(len(self._store.event_ids))
