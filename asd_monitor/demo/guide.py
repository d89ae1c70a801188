"""What the demo says to its viewer: where the page is, and what can be done there."""

from collections.abc import Callable
from typing import Protocol


class Course(Protocol):
    """The simulated machine, as :class:`~asd_monitor.demo.source.DemoSource` is one."""

    event_id: str

    def finished(self) -> bool:
        """Return whether the scenario has ended."""
        ...


class Guide:
    """Show the link of the page at the start, and that of the event once there is one.

    Parameters
    ----------
    course
        The simulated machine.
    url
        Returns the URL of the page; called while the monitor runs.
    show
        Shows a line to the viewer.
    stays_open
        The page stays open after the end.
    """

    def __init__(
        self,
        course: Course,
        url: Callable[[], str],
        show: Callable[[str], None],
        *,
        stays_open: bool,
    ) -> None:
        self._course = course
        self._url = url
        self._show = show
        self._stays_open = stays_open
        self._shown: set[str] = set()

    def is_done(self) -> bool:
        """Show what is new, and return whether the demo ends; called twice a second."""
        url = self._url().rstrip("/")
        self._show_once("page", f"open {url}/ in a browser to see the pump and listen to it")
        event = f"{url}/events/{self._course.event_id}"
        if self._course.event_id:
            self._show_once("event", f"what the monitor found: {event}")
        if not self._course.finished():
            return False
        if self._stays_open:
            self._show_once(
                "end",
                f"the scenario has ended, the page stays open: play the event at {event}, "
                "acknowledge it, and mark it as normal or as a fault; Ctrl-C ends the demo",
            )
        return not self._stays_open

    def _show_once(self, key: str, text: str) -> None:
        if key not in self._shown:
            self._shown.add(key)
            self._show(text)
