"""What a machine's model can and cannot detect, as the page draws it."""

from dataclasses import dataclass

from asd_monitor.detectability.result import LIMITS_S, MIN_SOUND_S, Detectability, FaultLevels
from asd_monitor.detectability.sentences import (
    describe,
    describe_kind,
    describe_method,
    format_level,
)
from asd_monitor.detectability.store import read_result
from asd_monitor.judging.proposal import present_model
from asd_monitor.records import ModelInfo
from asd_monitor.telemetry.status import MachineStatus
from asd_monitor.web.context import WebContext

WIDTH, HEIGHT = 130.0, 10.0


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A kind of fault."""

    name: str
    cause: str
    fast: str
    """Down to which level it is detected within the shorter time."""
    slow: str
    fast_path: str
    """Share of the trials that detected it, as an SVG path: from the highest level to the lowest,
    130 wide and 10 high."""
    slow_path: str


@dataclass(frozen=True, slots=True)
class DetectabilityView:
    """What the page shows; without a result there are no rows."""

    sentence: str
    method: str = ""
    rows: tuple[FaultRow, ...] = ()
    loudest_db: float = 0.0
    faintest_db: float = 0.0


def find_result(context: WebContext, machine: str, status: MachineStatus) -> Detectability | None:
    """Return what was measured of the model that a machine is monitored with; None if nothing."""
    result = read_result(present_model(context.judging.root, machine))
    model = None if status.window is None else status.window.score.model
    if result is not None and model is not None and model.sha256 != result.model_sha256:
        return None
    return result


def make_view(context: WebContext, machine: str, status: MachineStatus) -> DetectabilityView | None:
    """Return what the page shows of a machine; None where its model was not learned here."""
    result = find_result(context, machine, status)
    if result is None:
        if not present_model(context.judging.root, machine).is_file():
            return None
        return DetectabilityView(
            explain_absence(machine, None if status.window is None else status.window.score.model)
        )
    levels = [level for fault in result.faults for level in fault.levels_db]
    return DetectabilityView(
        describe(result),
        describe_method(result),
        tuple(map(_make_row, result.faults)),
        max(levels, default=0.0),
        min(levels, default=0.0),
    )


def explain_absence(machine: str, model: ModelInfo | None) -> str:
    """Return why there is no result for a machine with this model, in one sentence."""
    if model is not None:
        learned_s = model.calibration_windows * model.window_samples / model.sample_rate_hz
        if learned_s < MIN_SOUND_S:
            return (
                f"not measured: it takes {MIN_SOUND_S / 60:.0f} min of normal sound, and "
                f"{learned_s:.0f} s were learned; learn for longer"
            )
    return (
        "not measured yet: this is done in the background after learning, or by "
        f"`asd-monitor detectability {machine}`"
    )


def _make_row(fault: FaultLevels) -> FaultRow:
    name, cause = describe_kind(fault.kind)
    fast_s, slow_s = LIMITS_S
    return FaultRow(
        name,
        cause,
        _format(fault, fast_s),
        _format(fault, slow_s),
        draw_shares(fault, fast_s),
        draw_shares(fault, slow_s),
    )


def _format(fault: FaultLevels, limit_s: int) -> str:
    """Return a level whose unit is not separated from its number at the end of a line."""
    return format_level(fault, limit_s).replace(" dB", "\N{NO-BREAK SPACE}dB")


def draw_shares(fault: FaultLevels, limit_s: int) -> str:
    """Return the shares of the trials by level as steps of an SVG path."""
    step = WIDTH / len(fault.levels_db)
    path = f"M0 {HEIGHT:g}"
    for number, level_db in enumerate(fault.levels_db):
        top = HEIGHT * (1 - fault.share(level_db, limit_s))
        path += f"V{top:.4g}H{step * (number + 1):.4g}"
    return f"{path}V{HEIGHT:g}z"
