"""What is known of the sound that a machine's model was learned from."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LearnedSound:
    """What limits the model of a machine."""

    is_checked: bool
    """Whether its recordings were checked when the model was fitted."""
    findings: tuple[str, ...]
    """What the check found and what to do, a sentence each."""
    support: str
    """How few false alarms the learned sound supports, in one sentence."""


FindLearnedSound = Callable[[str], LearnedSound | None]
"""Returns what is known of a machine's model; None while it has none."""
