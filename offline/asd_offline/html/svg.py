"""Plots as SVG text: axes, lines, bars and images, coloured by the page's style sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

Ticks = Sequence[tuple[float, str]]
"""Values on an axis and their labels."""

_MARGIN = 10
"""Pixels above and to the right of the frame."""


@dataclass
class Plot:
    """Frame with axes; shapes are added in the units of the data and drawn in that order.

    Parameters
    ----------
    x, y
        Lowest and highest value of each axis.
    width, height
        Size of the drawing in pixels, before the page scales it.
    label
        Description for screen readers.
    left, bottom
        Pixels left of and below the frame, for labels.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 300
    height: int = 220
    label: str = ""
    left: int = 40
    bottom: int = 34
    _shapes: list[str] = field(default_factory=list, init=False)

    def to_px_x(self, value: float) -> float:
        """Return the horizontal position of a value in pixels from the left."""
        span = (self.x[1] - self.x[0]) or 1.0
        inner = self.width - self.left - _MARGIN
        return round(self.left + inner * (value - self.x[0]) / span, 1)

    def to_px_y(self, value: float) -> float:
        """Return the vertical position of a value in pixels from the top."""
        span = (self.y[1] - self.y[0]) or 1.0
        inner = self.height - self.bottom - _MARGIN
        return round(_MARGIN + inner * (1 - (value - self.y[0]) / span), 1)

    def add_line(self, xs: Sequence[float], ys: Sequence[float], css_class: str) -> None:
        """Draw a line; consecutive points on the same pixel are drawn once."""
        points: list[tuple[float, float]] = []
        for x, y in zip(xs, ys, strict=True):
            point = (self.to_px_x(x), self.to_px_y(y))
            if not points or point != points[-1]:
                points.append(point)
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._shapes.append(f'<polyline class="line {css_class}" points="{path}"/>')

    def add_box(self, x: tuple[float, float], y: tuple[float, float], css_class: str) -> None:
        """Draw a filled rectangle."""
        self._shapes.append(f'<rect class="{css_class}" {self._rectangle(x, y)}/>')

    def add_dot(self, x: float, y: float, css_class: str) -> None:
        """Draw a point."""
        self._shapes.append(
            f'<circle class="dot {css_class}" cx="{self.to_px_x(x)}" cy="{self.to_px_y(y)}" r="4"/>'
        )

    def add_image(self, uri: str) -> None:
        """Fill the frame with an image."""
        self._shapes.append(
            f'<image href="{escape(uri, quote=True)}" {self._rectangle(self.x, self.y)} '
            f'preserveAspectRatio="none"/>'
        )

    def add_text(self, x: float, y: float, text: str, anchor: str = "start") -> None:
        """Write text at a position in the units of the data."""
        self.add_text_px(self.to_px_x(x), self.to_px_y(y), text, anchor)

    def add_text_px(self, x: float, y: float, text: str, anchor: str = "start") -> None:
        """Write text at a position in pixels."""
        self._shapes.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def add_axes(self, x_ticks: Ticks, y_ticks: Ticks, x_label: str, y_label: str = "") -> None:
        """Draw the frame, the ticks and the labels of both axes."""
        left, right = self.left, self.width - _MARGIN
        top, base = _MARGIN, self.height - self.bottom
        self._shapes.append(f'<path class="frame" d="M{left} {top}V{base}H{right}"/>')
        for value, text in x_ticks:
            x = self.to_px_x(value)
            self._shapes.append(f'<path class="tick" d="M{x:g} {base}v4"/>')
            self.add_text_px(x, base + 15, text, "middle")
        for value, text in y_ticks:
            y = self.to_px_y(value)
            self._shapes.append(f'<path class="tick" d="M{left} {y:g}h-4"/>')
            self.add_text_px(left - 6, y + 3.5, text, "end")
        self.add_text_px((left + right) / 2, self.height - 4, x_label, "middle")
        if y_label:
            middle = (top + base) / 2
            self._shapes.append(
                f'<text transform="translate(10 {middle:g}) rotate(-90)" '
                f'text-anchor="middle">{escape(y_label)}</text>'
            )

    def to_svg(self) -> str:
        """Return the drawing as an ``<svg>`` element."""
        label = escape(self.label, quote=True)
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" width="{self.width}" role="img" '
            f'aria-label="{label}">{"".join(self._shapes)}</svg>'
        )

    def _rectangle(self, x: tuple[float, float], y: tuple[float, float]) -> str:
        left, top = self.to_px_x(x[0]), self.to_px_y(y[1])
        width, height = self.to_px_x(x[1]) - left, self.to_px_y(y[0]) - top
        return f'x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}"'


def round_ticks(low: float, high: float, count: int = 5) -> list[tuple[float, str]]:
    """Return at most about ``count`` round values in a range, with their labels."""
    span = high - low
    if not span > 0:
        return [(low, f"{low:.3g}")]
    step = 10.0 ** math.floor(math.log10(span / count))
    step *= next(m for m in (1, 2, 5, 10) if span / (m * step) <= count)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [(n * step, f"{n * step:.6g}") for n in range(first, last + 1)]
