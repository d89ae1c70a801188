"""The demo: a machine is learned, fails, is heard to fail, and recovers.

Only the machine is made up. Its sound goes through the same pipeline as a microphone's:
commissioning, model file, windows, detector, alarm, MQTT, Prometheus.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.records import (
    AudioChunk,
    Record,
    SourceHealth,
    SourceState,
    State,
    Transition,
)

if TYPE_CHECKING:
    from asd_monitor.config import Config

MACHINE = "pump"
SAMPLE_RATE_HZ = 16_000
BLOCK_S = 0.1
LEARN_S = 90.0
MOST_AHEAD_S = 20.0
"""While learning, so much sound is made ahead of its being read."""


@dataclass(frozen=True, slots=True)
class Story:
    """When the fault begins and ends, in seconds since monitoring began."""

    fault_begins_s: float
    fault_ends_s: float
    ends_s: float
    growth_s: float = 4.0
    """How long the fault takes to grow to its full strength."""

    @classmethod
    def lasting(cls, duration_s: float) -> "Story":
        """Return the story told within ``duration_s``: quiet, fault, and time to clear."""
        return cls(0.2 * duration_s, 0.55 * duration_s, duration_s)

    def fault_level(self, at_s: float) -> float:
        """Return how strong the fault is, in [0, 1]."""
        if not self.fault_begins_s <= at_s < self.fault_ends_s:
            return 0.0
        return min(1.0, 0.2 + (at_s - self.fault_begins_s) / self.growth_s)

    def chapter(self, at_s: float) -> str:
        """Return what is happening, in words."""
        if at_s < self.fault_begins_s:
            return "the pump runs well"
        if at_s < self.fault_ends_s:
            return "a bearing of the pump is failing"
        return "the bearing was replaced; the pump runs well"


class DemoSource:
    """The pump's sound: as fast as it is wanted while learning, at real pace from then on.

    It is a sink as well: hearing that the model is ready, it begins the story.

    Parameters
    ----------
    story
        What happens when.
    seed
        Decides the sound.
    """

    machine = MACHINE

    def __init__(self, story: Story, seed: int = 1) -> None:
        self.story_began_at: float | None = None
        self._story_began_s: float | None = None
        self._story = story
        self._on_chapter: Callable[[str], None] = lambda _: None
        self._sound = PumpSound(seed, SAMPLE_RATE_HZ)
        self._chunks: list[AudioChunk] = []
        self._lock = threading.Lock()
        self._next_start = 0
        self._wake: Callable[[], None] = lambda: None
        self._closed = threading.Event()
        self._read = threading.Event()
        self._learned = threading.Event()
        self._thread = threading.Thread(target=self._play, name="demo-machine", daemon=True)

    def tell_story_to(self, on_chapter: Callable[[str], None]) -> None:
        """Let this be called, from the source's thread, with what is happening from then on."""
        self._on_chapter = on_chapter

    def story_has_ended(self) -> bool:
        """Tell whether the story has been told to its end."""
        began = self._story_began_s
        return began is not None and time.monotonic() - began >= self._story.ends_s

    def open(self, wake: Callable[[], None] | None = None) -> None:
        """Begin to play; as a sink, there is nothing to open."""
        if wake is not None:
            self._wake = wake
            self._thread.start()

    def expect_windows(self, end: int, hop_samples: int) -> None:
        """Make no use of it: sound is made a little at a time anyway."""

    def emit(self, record: Record) -> None:
        """Begin the story when the model is ready."""
        if isinstance(record, Transition) and record.previous is State.LEARNING:
            self._learned.set()

    def read(self) -> list[AudioChunk]:
        """Return what was played since the last call."""
        with self._lock:
            chunks, self._chunks = self._chunks, []
        self._read.set()
        return chunks

    def health(self) -> SourceHealth:
        """Return that all is well: this machine's microphone never fails."""
        playing = self._thread.is_alive()
        state = SourceState.RUNNING if playing else SourceState.OPENING
        return SourceHealth(
            machine=MACHINE,
            state=SourceState.CLOSED if self._closed.is_set() else state,
            reason="",
            device="demo sound",
            samples=self._next_start,
            lost_samples=0,
            overflows=0,
            reopens=0,
            last_audio_at=time.time() if playing else None,
        )

    def close(self) -> None:
        """Stop playing; may be called twice."""
        self._closed.set()
        self._learned.set()
        self._read.set()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _play(self) -> None:
        block = round(BLOCK_S * SAMPLE_RATE_HZ)
        while self._next_start < LEARN_S * SAMPLE_RATE_HZ and not self._closed.is_set():
            self._deliver(block, 0.0)
            if self._waiting_s() > MOST_AHEAD_S:
                self._read.clear()
                self._read.wait(1.0)
        self._learned.wait()
        self._story_began_s = began = time.monotonic()
        self.story_began_at, chapter = time.time(), ""
        played = 0
        while not self._closed.wait(max(0.0, began + (played + 1) * BLOCK_S - time.monotonic())):
            at_s = played * BLOCK_S
            if self._story.chapter(at_s) != chapter:
                chapter = self._story.chapter(at_s)
                self._on_chapter(chapter)
            self._deliver(block, self._story.fault_level(at_s))
            played += 1

    def _waiting_s(self) -> float:
        with self._lock:
            return len(self._chunks) * BLOCK_S

    def _deliver(self, block: int, fault_level: float) -> None:
        samples = np.asarray(self._sound.block(self._next_start, block, fault_level), np.float32)
        samples.flags.writeable = False
        with self._lock:
            self._chunks.append(AudioChunk(samples, self._next_start, time.time()))
        self._next_start += block
        self._wake()


def run_demo(
    duration_s: float, stop: threading.Event, *, metrics_port: int, live_view: bool, as_json: bool
) -> None:
    """Tell the story, and sum up what was seen.

    Parameters
    ----------
    duration_s
        How long monitoring lasts, in seconds; learning comes before it.
    stop
        Ends the demo when set.
    metrics_port
        Port of the Prometheus endpoint on loopback; 0 takes any.
    live_view
        Show a live view where stderr is a terminal; log lines else.
    as_json
        End with one JSON line on stdout.
    """
    from asd_monitor.demo.broker import EmbeddedBroker
    from asd_monitor.runtime import runs
    from asd_monitor.runtime.builder import build_monitor
    from asd_monitor.runtime.serve import serve
    from asd_monitor.sinks.summary import SummarySink
    from asd_monitor.terminal import logging_setup

    source, summary = DemoSource(Story.lasting(duration_s)), SummarySink()
    with tempfile.TemporaryDirectory(prefix="asd-monitor-demo-") as folder, EmbeddedBroker() as on:
        config = _config(Path(folder), on.port, metrics_port)
        views = runs.views(config, live_view, title="asd-monitor demo: a pump and its bearing")
        logging_setup.set_up(tell=views[0].tell if views else None)
        handle = build_monitor(
            config, extra_sinks=[summary, source, *views], sources={MACHINE: source}
        )
        for view in views:
            view.footer = lambda: runs.where_published(handle)
        source.tell_story_to(views[0].tell if views else _say)
        if not views:
            _say(f"an MQTT broker listens at {on.host}:{on.port}")
        serve(handle, stop, is_done=source.story_has_ended)
        began = source.story_began_at or time.time()
        result = summary.to_json(began, runs.published_messages(handle))
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stderr.write("\n".join(_told(result)) + "\n")


def _config(folder: Path, mqtt_port: int, metrics_port: int) -> "Config":
    from asd_monitor.config import from_options

    return from_options(
        {
            "node": "demo",
            "state_dir": str(folder),
            "machines": {MACHINE: {"mic": "demo sound"}},
            "learn": {"minutes": LEARN_S / 60},
            "alarm": {"hold_s": 8.0},
            "mqtt": {"port": mqtt_port},
            "prometheus": {"port": metrics_port},
        }
    )


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} DEMO {text}\n")


def _told(result: dict[str, Any]) -> list[str]:
    raised, cleared = result["raised_at_s"], result["cleared_at_s"]
    lines = ["", "what the demo saw, in seconds since monitoring began:"]
    lines.append(f"  alarm raised   {'never' if raised is None else f'{raised:.1f} s'}")
    lines.append(f"  alarm cleared  {'never' if cleared is None else f'{cleared:.1f} s'}")
    lines.append(f"  final state    {result['final_state']}")
    lines.append(f"  windows        {result['windows']}")
    lines.append(f"  lost frames    {result['lost_frames']}")
    lines.append(f"  MQTT messages  {result['mqtt_messages']}")
    return lines
