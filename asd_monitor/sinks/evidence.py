"""Build the sink that keeps the evidence of events."""

from asd_monitor.evidence.event_history import EventHistory, NoHistory, StoredEvents
from asd_monitor.evidence.maker import EvidenceMaker
from asd_monitor.evidence.settings import EvidenceSettings
from asd_monitor.evidence.store import EvidenceStore
from asd_monitor.evidence.worker import EvidenceWorker
from asd_monitor.sinks.context import SinkContext


def build_evidence(settings: EvidenceSettings, context: SinkContext) -> EvidenceWorker:
    """Build the sink of a monitor, for the machines whose sound is kept in memory."""
    history = context.history
    events: EventHistory = NoHistory() if history is None else StoredEvents(history)
    maker = EvidenceMaker(
        settings,
        context.sounds,
        EvidenceStore(context.events_folder, settings, events),
        context.metrics,
        events=events,
        post=context.post,
        external_url=context.external_url,
    )
    return EvidenceWorker(maker, context.metrics)
