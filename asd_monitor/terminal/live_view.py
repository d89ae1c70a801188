"""The live view: what the monitor hears and thinks, on a terminal."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asd_monitor.records import (
    LearningProgress,
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
    WindowScore,
)

REFRESHES_PER_S = 4
TREND_SCORES = 48
NEWS_LINES = 5
MOST_PANELS = 3
BLOCKS = "▁▂▃▄▅▆▇█"
QUIETEST_DBFS = -80.0

STATE_STYLES = {
    State.UNKNOWN: "bold black on bright_black",
    State.LEARNING: "bold white on blue",
    State.NORMAL: "bold white on green",
    State.WARNING: "bold black on yellow",
    State.ALARM: "bold white on red",
}


_HEARING = frozenset({SourceState.RUNNING, SourceState.SILENT, SourceState.ENDED})


@dataclass
class _Machine:
    """The newest of everything known of one machine."""

    state: State = State.UNKNOWN
    reason: str = ""
    score: WindowScore | None = None
    health: SourceHealth | None = None
    learning: LearningProgress | None = None
    windows: int = 0
    latency_s: float = math.nan
    trend: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=TREND_SCORES))

    def hears(self) -> bool:
        """Tell whether the newest score is of the sound now."""
        return self.health is None or self.health.state in _HEARING


class LiveView:
    """Show every machine's newest score, state and health; redrawn by a thread of its own.

    Parameters
    ----------
    machines
        Names of the machines, in the order shown.
    title
        Stands above the view.
    footer
        Returns the line below it, such as the state of MQTT; called for each redraw.
    console
        Where it is drawn; stderr by default.
    clock
        Seconds since the epoch.
    """

    def __init__(
        self,
        machines: Sequence[str],
        *,
        title: str = "asd-monitor",
        footer: Callable[[], str] = str,
        console: Console | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.footer = footer
        self._machines = {name: _Machine() for name in machines}
        self._title = title
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._news: deque[Text] = deque(maxlen=NEWS_LINES)
        self._live: Live | None = None

    def open(self) -> None:
        """Begin to draw."""
        self._live = Live(
            get_renderable=self.render,
            console=self._console,
            refresh_per_second=REFRESHES_PER_S,
            redirect_stdout=False,
            redirect_stderr=True,
        )
        self._live.start(refresh=True)

    def emit(self, record: Record) -> None:
        """Remember a record; drawing happens elsewhere."""
        machine = self._machines[record.machine]
        match record:
            case ScoredWindow():
                self._note_window(machine, record)
            case Transition():
                machine.state, machine.reason = record.state, record.reason
                self._news.append(_news_line(record))
            case SourceHealth():
                machine.health = record
            case LearningProgress():
                machine.learning = record

    def tell(self, text: str) -> None:
        """Add a line to the news."""
        self._news.append(Text.assemble((_clock_time(self._clock()), "dim"), "  ", text))

    def close(self) -> None:
        """Draw a last time and leave the picture standing; may be called twice."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _note_window(self, machine: _Machine, window: ScoredWindow) -> None:
        score = machine.score = window.score
        machine.windows += 1
        machine.latency_s = self._clock() - score.captured_at
        machine.learning = None
        if window.decision.reason:
            machine.reason = window.decision.reason
        if score.value is not None and score.threshold is not None:
            machine.trend.append((score.value, score.threshold))

    def render(self) -> RenderableType:
        """Return the present picture."""
        many = len(self._machines) > MOST_PANELS
        panels: list[RenderableType] = (
            [_overview(self._machines)]
            if many
            else [_panel(name, machine) for name, machine in self._machines.items()]
        )
        news = [*self._news] or [Text("waiting for sound", style="dim")]
        footer = Text(self.footer(), style="dim")
        return Group(Text(self._title, style="bold"), *panels, *news, footer)


def _panel(name: str, machine: _Machine) -> Panel:
    """Return one machine's panel: what is heard, what it scores, what that means.

    Records come from another thread meanwhile, so nothing that can go is looked at twice.
    """
    body = Table.grid(padding=(0, 2), expand=True)
    body.add_column(style="dim", no_wrap=True, width=10)
    body.add_column(ratio=1)
    state = Text(f" {machine.state} ", style=STATE_STYLES[machine.state])
    body.add_row("state", Text.assemble(state, "  ", machine.reason))
    learning, score, trend = machine.learning, machine.score, list(machine.trend)
    if learning is not None:
        body.add_row("learning", _learning(learning))
    if score is not None and machine.hears():
        body.add_row("score", _score_line(score))
        body.add_row("trend", _trend(trend))
        body.add_row("level", _level(score.level_dbfs))
    elif score is not None:
        last = f"none; the last was {_number(score.value)} at "
        body.add_row("score", f"{last}{_clock_time(score.captured_at)}")
    body.add_row("sound", _sound_line(machine))
    return Panel(body, title=name, title_align="left", border_style="bright_black")


def _overview(machines: dict[str, _Machine]) -> Table:
    """Return a line for each machine, where there are many."""
    table = Table(expand=True, box=None)
    for heading in ("machine", "state", "score", "threshold", "p", "level", "lost", "source"):
        table.add_column(heading)
    for name, machine in machines.items():
        score, health = machine.score if machine.hears() else None, machine.health
        table.add_row(
            name,
            Text(f" {machine.state} ", style=STATE_STYLES[machine.state]),
            _number(score.value if score else None),
            _number(score.threshold if score else None),
            _p_value(score),
            f"{score.level_dbfs:.0f} dB" if score and score.level_dbfs is not None else "-",
            str(health.lost_samples) if health else "-",
            str(health.state) if health else "-",
        )
    return table


def _learning(progress: LearningProgress) -> RenderableType:
    bar = ProgressBar(total=progress.wanted_s, completed=progress.learned_s, width=40)
    told = "fitting the model" if progress.fitting else "of normal sound"
    row = Table.grid(padding=(0, 2))
    row.add_row(bar, f"{progress.learned_s:.0f} of {progress.wanted_s:.0f} s {told}")
    return row


def _score_line(score: WindowScore) -> Text:
    over = score.value is not None and score.threshold is not None and score.value > score.threshold
    line = Text.assemble(
        (_number(score.value), "bold red" if over else "bold green"),
        f"  threshold {_number(score.threshold)}",
        f"  p-value {_p_value(score)}",
    )
    if score.quality != "ok":
        line.append(f"  {score.quality}", style="bold yellow")
    if score.model is not None and score.model.provisional:
        line.append(
            f"  provisional: {score.model.calibration_windows} calibration windows", style="dim"
        )
    return line


def _trend(trend: Sequence[tuple[float, float]]) -> Text:
    """Draw the last scores as blocks; the threshold lies at six eighths of the height."""
    line = Text()
    for value, threshold in trend:
        height = value / threshold * 6 if threshold > 0 else 0.0
        block = BLOCKS[min(max(int(height), 0), len(BLOCKS) - 1)]
        line.append(block, style="red" if value > threshold else "green")
    return line


def _level(level_dbfs: float | None) -> RenderableType:
    if level_dbfs is None:
        return Text("digital silence", style="yellow")
    row = Table.grid(padding=(0, 2))
    filled = max(0.0, level_dbfs - QUIETEST_DBFS)
    row.add_row(
        ProgressBar(total=-QUIETEST_DBFS, completed=filled, width=40, complete_style="cyan"),
        f"{level_dbfs:.1f} dBFS",
    )
    return row


def _sound_line(machine: _Machine) -> Text:
    health = machine.health
    if health is None:
        return Text("opening", style="dim")
    running = health.state in (SourceState.RUNNING, SourceState.ENDED)
    line = Text.assemble(
        (str(health.state), "green" if running else "bold yellow"),
        f"  {machine.windows} windows  {health.lost_samples} lost frames",
    )
    if not math.isnan(machine.latency_s):
        line.append(f"  latency {1000 * machine.latency_s:.0f} ms")
    if health.reason:
        line.append(f"  {health.reason}", style="yellow")
    return line


def _news_line(transition: Transition) -> Text:
    return Text.assemble(
        (_clock_time(transition.captured_at), "dim"),
        f"  {transition.machine}: ",
        (f" {transition.state} ", STATE_STYLES[transition.state]),
        f"  {transition.reason}",
    )


def _clock_time(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _p_value(score: WindowScore | None) -> str:
    if score is None or score.p_value is None:
        return "-"
    return f"{score.p_value:.2g}{' (tail)' if score.extrapolated else ''}"
