"""What the overview shows of a machine."""

from dataclasses import dataclass

from asd_monitor.records import LearningProgress, State
from asd_monitor.telemetry.status import MachineStatus
from asd_monitor.web.context import WebContext
from asd_monitor.web.formats import URGENCY


@dataclass(frozen=True, slots=True)
class MachineCard:
    """One machine in the overview."""

    id: str
    name: str
    state: State
    reason: str
    score: float | None
    threshold: float | None
    level_dbfs: float | None
    learning: LearningProgress | None


def make_cards(context: WebContext) -> list[MachineCard]:
    """Return the cards of all machines, the most urgent first, then in order of the settings."""
    status = context.status()
    cards = [
        _make_card(id_, name, status.machines.get(id_, MachineStatus()))
        for id_, name in context.machines.items()
    ]
    return sorted(cards, key=lambda card: URGENCY[card.state])


def _make_card(id_: str, name: str, machine: MachineStatus) -> MachineCard:
    score = machine.window.score if machine.window is not None and machine.is_current else None
    return MachineCard(
        id=id_,
        name=name,
        state=machine.state,
        reason=machine.reason,
        score=None if score is None else score.value,
        threshold=None if score is None else score.threshold,
        level_dbfs=None if score is None else score.level_dbfs,
        learning=machine.learning,
    )
