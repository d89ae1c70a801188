"""Settings of the outbox."""

from pydantic import BaseModel, ConfigDict, Field


class OutboxSettings(BaseModel):
    """How many scores and events are kept on the disk for the broker; off: in memory only."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    max_mb: float = Field(default=500.0, ge=1.0, le=1e6)
    """Largest size of the database, in megabytes. Beyond it, messages that were sent are removed
    first, then the oldest scores, those of a warning or an alarm last; events are kept."""
    replay_hours: float = Field(default=168.0, ge=0.0, le=8760.0)
    """Messages that the broker has acknowledged are kept for so long, for `asd-monitor resend`."""
    replay_per_s: float = Field(default=200.0, ge=1.0, le=10_000.0)
    """Scores of the backlog that are sent per second, in addition to the present ones."""
