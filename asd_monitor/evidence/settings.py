"""Settings of the evidence that is kept of each event."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Keep(StrEnum):
    """What is kept of an event."""

    CLIP = "clip"
    """Sound, picture and description."""
    PICTURE = "picture"
    """Picture and description, no sound."""
    NONE = "none"
    """Nothing; no sound is kept in memory either."""


class EvidenceSettings(BaseModel):
    """What is kept of each event, and how much of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    keep: Keep = Keep.CLIP
    """`clip`: sound, picture and description; `picture`: no sound, where voices must not be
    recorded; `none`: nothing."""
    before_s: float = Field(30.0, ge=0, le=60)
    """A clip begins this long before the first window that counted."""
    after_s: float = Field(15.0, ge=1, le=30)
    """A clip ends this long after the state has changed."""
    repeat_minutes: float = Field(10.0, ge=1, le=1440)
    """While an event lasts, a further clip of `after_s` is kept at this interval."""
    max_repeats: int = Field(6, ge=0, le=100)
    """Number of further clips of an event."""
    max_clips: int = Field(200, ge=1, le=100_000)
    """Events of a machine whose evidence is kept; the oldest that is not protected is deleted."""
    max_gb: float = Field(2.0, gt=0, le=10_000)
    """Size of all evidence in gigabytes."""
    keep_days: float | None = Field(None, gt=0, le=36_500)
    """Evidence of events that ended longer ago is deleted, also that of marked ones; null: none is
    deleted for its age."""
    min_free_percent: float = Field(5.0, ge=0, le=90)
    """Nothing is written while less of the disk than this is free."""
