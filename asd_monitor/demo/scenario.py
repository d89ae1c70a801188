"""The scenario of the demo: when the machine fails and when it is repaired."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """Times of the fault, in seconds since monitoring began."""

    fault_begins_s: float
    fault_ends_s: float
    ends_s: float
    growth_s: float = 4.0
    """Time in which the fault grows to its full strength."""

    @classmethod
    def of_duration(cls, duration_s: float) -> "Scenario":
        """Return a scenario that ends after ``duration_s``: normal, fault, and time to clear."""
        return cls(0.12 * duration_s, 0.47 * duration_s, duration_s)

    def fault_level(self, at_s: float) -> float:
        """Return the strength of the fault in [0, 1]."""
        if not self.fault_begins_s <= at_s < self.fault_ends_s:
            return 0.0
        return min(1.0, 0.2 + (at_s - self.fault_begins_s) / self.growth_s)

    def phase(self, at_s: float) -> str:
        """Describe the present phase in words."""
        if at_s < self.fault_begins_s:
            return "the pump runs normally"
        if at_s < self.fault_ends_s:
            return "a bearing of the pump is failing"
        return "the bearing has been replaced; the pump runs normally"
