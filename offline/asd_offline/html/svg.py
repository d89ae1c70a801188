"""Plots as SVG text: axes, lines, bars and pictures, coloured by the page's style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape


@dataclass
class Plot:
    """A frame with axes that shapes are drawn into, in the units of the data.

    Parameters
    ----------
    x, y
        Lowest and highest value on each axis.
    width, height
        Of the whole drawing, in pixels at its natural size.
    label
        What the drawing shows, for those who cannot see it.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 300
    height: int = 220
    label: str = ""
    left: int = 40
    bottom: int = 34
    _parts: list[str] = field(default_factory=list, init=False)

    _RIGHT, _TOP = 10, 10

    def px(self, value: float) -> float:
        """Return where a value lies from left to right."""
        span = (self.x[1] - self.x[0]) or 1.0
        inner = self.width - self.left - self._RIGHT
        return round(self.left + inner * (value - self.x[0]) / span, 1)

    def py(self, value: float) -> float:
        """Return where a value lies from top to bottom."""
        span = (self.y[1] - self.y[0]) or 1.0
        inner = self.height - self.bottom - self._TOP
        return round(self._TOP + inner * (1 - (value - self.y[0]) / span), 1)

    def line(self, xs: Sequence[float], ys: Sequence[float], kind: str) -> None:
        """Draw a line; points that fall on the same pixel are drawn once."""
        points: list[tuple[float, float]] = []
        for x, y in zip(xs, ys, strict=True):
            point = (self.px(x), self.py(y))
            if not points or point != points[-1]:
                points.append(point)
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(f'<polyline class="line {kind}" points="{path}"/>')

    def box(self, x: tuple[float, float], y: tuple[float, float], kind: str) -> None:
        """Draw a filled rectangle."""
        left, top = self.px(x[0]), self.py(y[1])
        width, height = self.px(x[1]) - left, self.py(y[0]) - top
        self._parts.append(
            f'<rect class="{kind}" x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}"/>'
        )

    def dot(self, x: float, y: float, kind: str) -> None:
        """Draw a point."""
        self._parts.append(
            f'<circle class="dot {kind}" cx="{self.px(x)}" cy="{self.py(y)}" r="4"/>'
        )

    def picture(self, uri: str) -> None:
        """Fill the frame with a picture."""
        left, top = self.px(self.x[0]), self.py(self.y[1])
        width, height = self.px(self.x[1]) - left, self.py(self.y[0]) - top
        self._parts.append(
            f'<image href="{escape(uri, quote=True)}" x="{left:g}" y="{top:g}" width="{width:g}" '
            f'height="{height:g}" preserveAspectRatio="none"/>'
        )

    def axes(
        self,
        x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[tuple[float, str]],
        x_name: str,
        y_name: str = "",
    ) -> None:
        """Draw the frame, ticks and names."""
        left, right = self.left, self.width - self._RIGHT
        top, base = self._TOP, self.height - self.bottom
        self._parts.append(f'<path class="frame" d="M{left} {top}V{base}H{right}"/>')
        for value, text in x_ticks:
            at = self.px(value)
            self._parts.append(f'<path class="tick" d="M{at:g} {base}v4"/>')
            self._text(at, base + 15, text, "middle")
        for value, text in y_ticks:
            at = self.py(value)
            self._parts.append(f'<path class="tick" d="M{left} {at:g}h-4"/>')
            self._text(left - 6, at + 3.5, text, "end")
        self._text((left + right) / 2, self.height - 4, x_name, "middle")
        if y_name:
            middle = (top + base) / 2
            self._parts.append(
                f'<text transform="translate(10 {middle:g}) rotate(-90)" '
                f'text-anchor="middle">{escape(y_name)}</text>'
            )

    def note(self, x: float, y: float, text: str, anchor: str = "start") -> None:
        """Write something at a place in the units of the data."""
        self._text(self.px(x), self.py(y), text, anchor)

    def svg(self) -> str:
        """Return the drawing."""
        label = escape(self.label, quote=True)
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" role="img" '
            f'aria-label="{label}">{"".join(self._parts)}</svg>'
        )

    def _text(self, x: float, y: float, text: str, anchor: str) -> None:
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
        )


def round_ticks(low: float, high: float, count: int = 5) -> list[tuple[float, str]]:
    """Return about so many round values in a range, with their text."""
    import math

    span = high - low
    if not span > 0:
        return [(low, f"{low:.3g}")]
    step = 10.0 ** math.floor(math.log10(span / count))
    step *= next(m for m in (1, 2, 5, 10) if span / (m * step) <= count)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [(n * step, f"{n * step:.6g}") for n in range(first, last + 1)]
