"""A live view of all machines on a terminal."""

import time
from collections import deque
from collections.abc import Callable, Mapping

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asd_monitor.calibration.calibration import PROVISIONAL_BELOW
from asd_monitor.calibration.score_text import describe_p_value, format_score
from asd_monitor.records import (
    EvidenceReady,
    LearningProgress,
    ModelInfo,
    Quality,
    Record,
    ScoredWindow,
    SourceState,
    State,
    Transition,
)
from asd_monitor.telemetry.status import MachineStatus, MonitorStatus
from asd_monitor.terminal.safe_console import SafeConsole
from asd_monitor.terminal.trend_chart import SEVERITY_STYLES, TrendChart, severity

REFRESHES_PER_S = 4
TREND_SCORES = 240
TREND_ROWS = 5
"""Height of the trend of a single machine; of several machines it is lower."""
MAX_MESSAGES = 5
MAX_PANELS = 3
MIN_LEVEL_DBFS = -80.0

STATE_STYLES = {
    State.UNKNOWN: "bold black on bright_black",
    State.LEARNING: "bold white on blue",
    State.NORMAL: "bold white on green",
    State.OFF: "bold white on bright_black",
    State.WARNING: "bold black on yellow",
    State.ALARM: "bold white on red",
}


class LiveView:
    """A sink that displays the score, state and health of every machine.

    It is redrawn by its own thread.

    Parameters
    ----------
    status
        Returns a snapshot of the monitor; called for each redraw.
    title
        Text above the view.
    footer
        Returns the line below it, such as the state of MQTT; called for each redraw.
    console
        Where it is drawn; stderr by default.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        status: Callable[[], MonitorStatus],
        *,
        title: str = "asd-monitor",
        footer: Callable[[], str] = str,
        console: Console | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._status = status
        self._title = title
        self._footer = footer
        self._console = console or SafeConsole(stderr=True)
        self._clock = clock
        self._trends: dict[str, deque[ScoredWindow]] = {}
        self._messages: deque[Text] = deque(maxlen=MAX_MESSAGES)
        self._evidence: dict[str, Text] = {}
        self._live: Live | None = None

    def open(self) -> None:
        """Start drawing."""
        self._live = Live(
            get_renderable=self.render,
            console=self._console,
            refresh_per_second=REFRESHES_PER_S,
            redirect_stdout=False,
            redirect_stderr=True,
        )
        self._live.start(refresh=True)

    def emit(self, record: Record) -> None:
        """Add a score to its machine's trend, and a change of state to the messages."""
        match record:
            case ScoredWindow():
                empty: deque[ScoredWindow] = deque(maxlen=TREND_SCORES)
                self._trends.setdefault(record.machine, empty).append(record)
            case Transition():
                name = self._status().machines[record.machine].name or record.machine
                self._messages.append(_format_transition(record, name))
            case EvidenceReady():
                name = self._status().machines[record.machine].name or record.machine
                self._show_evidence(record.event_id, _format_evidence(record, name))

    def _show_evidence(self, event_id: str, text: Text) -> None:
        """Add what differs in the sound of an event, or replace what was displayed of it."""
        earlier = self._evidence.get(event_id)
        self._evidence[event_id] = text
        for index, message in enumerate(self._messages):
            if message is earlier:
                self._messages[index] = text
                return
        self._messages.append(text)

    def show_message(self, text: str) -> None:
        """Add a line to the messages; may be called from any thread."""
        self._messages.append(Text.assemble((_format_time(self._clock()), "dim"), "  ", text))

    def close(self) -> None:
        """Draw one last time and leave the picture on the terminal; may be called twice."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def render(self) -> RenderableType:
        """Return the current picture."""
        machines = self._status().machines
        rows = TREND_ROWS if len(machines) == 1 else TREND_ROWS - len(machines)
        panels: list[RenderableType] = [
            _make_panel(
                machine.name or id_, machine, TrendChart([*self._trends.get(id_, ())], rows)
            )
            for id_, machine in machines.items()
        ]
        if len(machines) > MAX_PANELS:
            panels = [_make_overview(machines)]
        messages = [*self._messages] or [Text("waiting for sound", style="dim")]
        footer = Text(self._footer(), style="dim")
        return Group(Text(self._title, style="bold"), *panels, *messages, footer)


def _make_panel(name: str, machine: MachineStatus, trend: TrendChart) -> Panel:
    body = Table.grid(padding=(0, 2), expand=True)
    body.add_column(style="dim", no_wrap=True, width=10)
    body.add_column(ratio=1)
    body.add_row("state", Text.assemble(_make_badge(machine.state), "  ", machine.reason))
    if machine.learning is not None:
        body.add_row("learning", _make_learning_bar(machine.learning))
    if machine.window is not None:
        score = machine.window.score
        if machine.is_current:
            body.add_row("score", _format_score(machine.window))
            body.add_row("trend", trend)
            if score.model is not None and score.model.provisional:
                body.add_row("learned", _format_provisional(score.model))
            if machine.window.decision.mode:
                body.add_row("mode", machine.window.decision.mode)
            body.add_row("level", _make_level_bar(score.level_dbfs))
        else:
            value, time_of_day = format_score(score.value), _format_time(score.captured_at)
            body.add_row("score", f"none; the last was {value} at {time_of_day}")
    body.add_row("sound", _format_source(machine))
    return Panel(body, title=Text(name), title_align="left", border_style="bright_black")


def _make_overview(machines: Mapping[str, MachineStatus]) -> Table:
    """Return a table with one line per machine."""
    table = Table(expand=True, box=None)
    for heading in ("machine", "state", "score", "verdict", "mode", "level", "lost", "source"):
        table.add_column(heading)
    for id_, machine in machines.items():
        health = machine.health
        score = machine.window.score if machine.window and machine.is_current else None
        table.add_row(
            Text(machine.name or id_),
            _make_badge(machine.state),
            format_score(score.value if score else None),
            _format_verdict(machine.window if score else None),
            (machine.window.decision.mode if machine.window and score else "") or "-",
            f"{score.level_dbfs:.0f} dB" if score and score.level_dbfs is not None else "-",
            str(health.lost_samples) if health else "-",
            str(health.state) if health else "-",
        )
    return table


def _make_badge(state: State) -> Text:
    return Text(f" {state} ", style=STATE_STYLES[state])


def _make_learning_bar(progress: LearningProgress) -> RenderableType:
    bar = ProgressBar(total=progress.required_s, completed=progress.learned_s, width=40)
    stage = "; fitting the model" if progress.fitting else " of normal sound"
    row = Table.grid(padding=(0, 2))
    row.add_row(bar, f"{progress.learned_s:.0f} of {progress.required_s:.0f} s{stage}")
    return row


def _format_score(window: ScoredWindow) -> Text:
    score = window.score
    if score.value is None:
        return Text(window.decision.verdict.word, style="bold yellow")
    style = SEVERITY_STYLES[severity(window)]
    line = Text.assemble(
        (format_score(score.value), f"bold {style}"),
        "  ",
        _format_verdict(window),
        f"  {describe_p_value(score.p_value, score.extrapolated)}",
    )
    if score.quality is not Quality.OK:
        line.append(f"  {score.quality}", style="bold yellow")
    return line


def _format_verdict(window: ScoredWindow | None) -> Text:
    if window is None:
        return Text("-")
    return Text(window.decision.verdict.word, style=SEVERITY_STYLES[severity(window)])


def _format_provisional(model: ModelInfo) -> Text:
    return Text(
        f"{model.calibration_windows} of about {PROVISIONAL_BELOW} windows: limits are provisional",
        style="dim",
    )


def _make_level_bar(level_dbfs: float | None) -> RenderableType:
    if level_dbfs is None:
        return Text("digital silence", style="yellow")
    row = Table.grid(padding=(0, 2))
    above_min = max(0.0, level_dbfs - MIN_LEVEL_DBFS)
    row.add_row(
        ProgressBar(total=-MIN_LEVEL_DBFS, completed=above_min, width=40, complete_style="cyan"),
        f"{level_dbfs:.1f} dBFS",
    )
    return row


def _format_source(machine: MachineStatus) -> Text:
    health = machine.health
    if health is None:
        return Text("opening", style="dim")
    running = health.state in (SourceState.RUNNING, SourceState.ENDED)
    windows = "1 window" if machine.windows == 1 else f"{machine.windows} windows"
    line = Text.assemble(
        (str(health.state), "green" if running else "bold yellow"),
        f"  {windows}  {health.lost_samples} lost samples",
    )
    if machine.latency_s is not None:
        line.append(f"  latency {1000 * machine.latency_s:.0f} ms")
    if health.reason:
        line.append(f"  {health.reason}", style="yellow")
    return line


def _format_transition(transition: Transition, name: str) -> Text:
    return Text.assemble(
        (_format_time(transition.captured_at), "dim"),
        f"  {name}: ",
        _make_badge(transition.state),
        f"  {transition.reason}",
    )


def _format_evidence(evidence: EvidenceReady, name: str) -> Text:
    text = Text.assemble(
        (_format_time(evidence.at), "dim"), f"  {name}: sound: {evidence.headline}"
    )
    if evidence.clip:
        text.append(f"  {evidence.clip}", style="dim")
    return text


def _format_time(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
