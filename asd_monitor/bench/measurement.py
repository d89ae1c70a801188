"""A measured value and its target."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of the benchmark's table."""

    area: str
    name: str
    """Unique within the area; ends with the unit."""
    value: float
    description: str
    """What is measured, for the table."""
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least
