"""The series of the open event of each machine, which links a graph to the event's page."""

from asd_monitor.records import Transition
from asd_monitor.telemetry.series_factory import SeriesFactory


class EventSeries:
    """The open event of each machine, with the address of its page."""

    def __init__(self, factory: SeriesFactory) -> None:
        self.info = factory.gauge(
            "asd_event_info",
            "1 while the event is open, with the URL of its page if `web.external_url` is set.",
            "machine",
            "event_id",
            "url",
        )
        self._open: dict[str, tuple[str, str]] = {}

    def observe(self, transition: Transition, external_url: str) -> None:
        """Record the event that a transition opens, continues or closes.

        Parameters
        ----------
        transition
            A change of a machine's state.
        external_url
            URL under which users reach the web page; empty if it is not known.
        """
        machine, event_id = transition.machine, transition.event_id
        if not event_id:
            return
        earlier = self._open.get(machine)
        if earlier is not None and (transition.closes_event or earlier[0] != event_id):
            self.info.remove(machine, *self._open.pop(machine))
        if not transition.closes_event:
            url = f"{external_url.rstrip('/')}/events/{event_id}" if external_url else ""
            self._open[machine] = (event_id, url)
            self.info.labels(machine, event_id, url).set(1)
