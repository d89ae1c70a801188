"""Settings of the history."""

from pydantic import BaseModel, ConfigDict, Field


class HistorySettings(BaseModel):
    """How long scores are kept in the state folder; null: no history."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    scores_days: float = Field(14.0, gt=0, le=36_500)
    """Days for which the score of every window is kept."""
    minutes_days: float = Field(400.0, gt=0, le=36_500)
    """Days for which the scores of each minute and hour, and the states, are kept."""
    max_mb: float = Field(4000.0, ge=1, le=1e7)
    """Largest size of the database, in megabytes; beyond it the oldest scores are removed. Events
    and notes are always kept."""
