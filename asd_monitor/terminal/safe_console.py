"""A console for text that may come from files, devices and the network."""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from asd_monitor.terminal.escape import in_lines


class SafeConsole(Console):
    """A console that escapes control characters in all text; its own sequences are kept."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of a renderable."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(in_lines(segment.text), segment.style)
