"""One measured number, and what it should be."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of the benchmark's table."""

    area: str
    name: str
    """Unique within the area, with the unit as its ending."""
    value: float
    told: str
    """What it is, for a person."""
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least
