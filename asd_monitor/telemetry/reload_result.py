"""What came of reloading the configuration, for everything that displays it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """The result of the last reload of the configuration."""

    at_s: float
    """When it ended, in seconds since the epoch."""
    changes: tuple[str, ...] = ()
    """What is different since, one phrase each."""
    needs_restart: tuple[str, ...] = ()
    """Settings that differ in the file and are used after the next start only."""
    problems: tuple[str, ...] = ()
    """Why settings could not be used; the former ones remain. Empty: all are in use."""

    @property
    def is_successful(self) -> bool:
        """Whether everything that can change without a restart is as in the configuration."""
        return not self.problems

    def describe(self) -> str:
        """Return the result in one sentence for the user."""
        parts = []
        if self.problems:
            parts.append(f"{'; '.join(self.problems)}; the former settings remain in use")
        if self.changes:
            parts.append(", ".join(self.changes))
        if self.needs_restart and not self.problems:
            parts.append(f"used after a restart only: {', '.join(self.needs_restart)}")
        return "; ".join(parts) or "nothing has changed"

    @property
    def title(self) -> str:
        """What happened to the configuration, in a few words."""
        if self.is_successful:
            return "reloaded"
        return "reloaded in part" if self.changes else "not reloaded"
