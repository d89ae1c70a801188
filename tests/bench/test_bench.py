"""The benchmark measures what it describes, and yields every measurement."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.bench import capacity, memory, microphone_latency, worker_counts
from asd_monitor.bench.capacity import FIRST_MICROPHONES, MAX_MICROPHONES, Trial
from asd_monitor.bench.context import BenchContext, Broker
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.fixtures import BenchFixtures, make_sound, write_wav
from asd_monitor.bench.measurement import Measurement
from asd_monitor.bench.model_only import ModelOnly
from asd_monitor.bench.own_models import make_own_models, make_state
from asd_monitor.bench.process_usage import Usage
from asd_monitor.bench.subscriber import Subscriber
from asd_monitor.commands.offline_extra import PACKAGES
from asd_monitor.errors import AsdMonitorError, ConfigError, SinkError
from asd_monitor.model_file import LoadPolicy, load
from asd_monitor.model_file.signature import read_signature
from tests.rig.hidden_packages import environment_without
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.ports import free_port
from tests.rig.toy_model import noise, save_toy
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    VirtualSound,
)

MEASUREMENTS = {
    "latency": {"scores", "p50_ms", "p99_ms", "model_p50_ms", "model_p99_ms"},
    "cpu": {
        "model_ms_per_s",
        "model_paced_ms_per_s",
        "daemon_ms_per_s",
        "overhead_ms_per_s",
        "paced_overhead_ms_per_s",
        "ratio",
    },
    "capacity": {
        f"{kind}_{name}"
        for kind in ("shared", "own")
        for name in (
            "ready_s",
            "ready_cpu_s",
            "first_rss_mb",
            "first_processors",
            "lost_samples",
            "late_windows",
            "microphones",
            "processors",
            "rss_mb",
            "dropped_messages",
        )
    },
    "memory": {"rss_mb", "windows", "growth_mb", "more_files", "more_threads"},
    "recordings": {"score_1_min_mb"},
    "startup": {"python_s", "import_s", "help_s", "ready_s"},
    "history": {
        "cpu_percent",
        "write_empty_ms",
        "write_long_ms",
        "read_day_ms",
        "read_month_ms",
        "read_year_ms",
        "read_overview_ms",
    },
    "outbox": {
        *(
            f"{name}_p{q}_ms"
            for name in ("added", "added_by_itself", "added_cpu")
            for q in (50, 99)
        ),
        "queue_p99_us",
        "cpu_percent",
        "score_bytes",
        *(f"{name}_p{q}_ms" for name in ("with", "without", "more") for q in (50, 99)),
        *(
            f"daemon_{name}{suffix}"
            for name in ("cpu_ms", "p50_ms", "p99_ms")
            for suffix in ("", "_ratio")
        ),
    },
    "web": {
        "no_page_ms_per_s",
        *(
            f"{situation}_{figure}"
            for situation in ("no_viewer", "viewers", "spectrograms")
            for figure in ("more_ms_per_s", "cpu_ratio", "more_mb", "p99_ms", "p99_ratio")
        ),
        "overview_ms",
        "overview_most_ms",
        "trend_ms",
        "trend_most_ms",
    },
}
BURN = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass\n"


@pytest.mark.parametrize(
    ("value", "limits", "met"),
    [
        (1.0, {}, None),
        (1.0, {"at_most": 1.0}, True),
        (1.1, {"at_most": 1.0}, False),
        (64.0, {"at_least": 64.0}, True),
        (63.0, {"at_least": 64.0}, False),
    ],
)
def test_a_target_is_met_or_missed(value: float, limits: dict[str, float], met: bool) -> None:
    assert Measurement("area", "name", value, "text", "s", **limits).met is met


def make_trial(microphones: int, limit: int) -> Trial:
    late = max(0, microphones - limit)
    return Trial(microphones, microphones, 0, late, 0, 1.0, 0)


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(0, MAX_MICROPHONES + 100))
def test_the_search_starts_with_64_and_closes_in_on_the_limit(limit: int) -> None:
    trials = list(capacity.search(lambda count: make_trial(count, limit), quick=False))
    sustained = [trial.microphones for trial in trials if trial.sustained]
    failed = [trial.microphones for trial in trials if not trial.sustained]
    assert trials[0].microphones == FIRST_MICROPHONES
    assert all(count <= limit for count in sustained)
    assert all(count > limit for count in failed)
    assert len({trial.microphones for trial in trials}) == len(trials)
    if failed and sustained:
        assert min(failed) - max(sustained) <= max(FIRST_MICROPHONES, max(sustained)) / 8


def test_usage_counts_a_process_with_its_descendants(tmp_path: Path) -> None:
    script = (
        f"import subprocess, sys, threading\n{BURN}"
        f"child = subprocess.run([sys.executable, '-c', {BURN + 'input()'!r}])"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as process:
        wait_until(lambda: Usage.of(process.pid).cpu_s > 0.6, "both have finished their work")
        usage = Usage.of(process.pid)
        process.communicate(b"\n")
    assert usage.processes == 2
    assert usage.threads == 2
    assert usage.files >= 6
    assert usage.rss_bytes > 2_000_000


GROW = """
import mmap, sys, threading
print("begun", flush=True)
sys.stdin.readline()
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
file, held = open(sys.executable, "rb"), mmap.mmap(-1, 50_000_000)
held.write(b"1" * len(held))
print("grown", flush=True)
sys.stdin.readline()
end.set()
thread.join()
file.close()
held.close()
print("shrunk", flush=True)
sys.stdin.readline()
"""


def test_usage_sees_files_threads_and_memory_come_and_go() -> None:
    """In a new process: in this one, earlier tests have left free memory to reuse."""
    lines, usages = [], []
    command = [sys.executable, "-c", GROW]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for _ in range(3):
            lines.append(process.stdout.readline().strip())
            usages.append(Usage.of(process.pid))
            process.stdin.write(b"\n")
            process.stdin.flush()
    begun, grown, shrunk = usages
    assert lines == [b"begun", b"grown", b"shrunk"]
    assert (grown.files - begun.files, grown.threads - begun.threads) == (1, 1)
    assert (shrunk.files - begun.files, shrunk.threads - begun.threads) == (0, 0)
    assert grown.rss_bytes - begun.rss_bytes > 0.8 * 50_000_000
    assert grown.rss_bytes - shrunk.rss_bytes > 0.8 * 50_000_000


def test_the_model_alone_is_timed_for_each_window(tmp_path: Path) -> None:
    model, sound = memory.save_small_model(tmp_path), tmp_path / "sound.wav"
    write_wav(sound, make_sound(2.0))
    timed = ModelOnly.measure(model, sound, rounds=2, paced=2)
    assert timed.hop_s == pytest.approx(0.1)
    assert timed.looped_s > 0
    assert timed.paced_s > 0


@pytest.fixture
def small(tmp_path: Path) -> BenchFixtures:
    """A short sound, and a model that costs next to nothing."""
    sound = tmp_path / "sound.wav"
    write_wav(sound, make_sound(5.0))
    return BenchFixtures(tmp_path, sound, memory.save_small_model(tmp_path))


def test_scores_are_timed_at_a_subscriber_and_nothing_stays_at_the_broker(
    small: BenchFixtures, tmp_path: Path
) -> None:
    with Mosquitto(tmp_path) as broker:
        context = BenchContext(small, Broker("127.0.0.1", broker.port), quick=True)
        with Subscriber("127.0.0.1", broker.port, context.base_topic) as subscriber:
            with Daemon(context.many_machines(2), small.folder) as daemon:
                assert daemon.ready_s > 0
                wait_until(lambda: len(subscriber.arrivals()) >= 30, "scores")
                counted = daemon.metrics()["asd_windows_total{result=scored}"]
            arrivals = subscriber.arrivals()
        with Collector(broker.port) as later:
            time.sleep(0.3)
            assert not later.messages
    assert counted >= 30
    assert {arrival.machine for arrival in arrivals} == {"pump-0000", "pump-0001"}
    assert all(0 < arrival.inference_s < arrival.latency_s < 60 for arrival in arrivals)


def test_a_microphones_scores_are_timed_from_the_callback(
    small: BenchFixtures, virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    sound = (32767 * make_sound(5.0)).astype(np.int16)
    virtual_microphones(pump=VirtualSound(sound, rate_hz=16000))
    with Mosquitto(tmp_path) as broker:
        context = BenchContext(small, Broker("127.0.0.1", broker.port), microphone="pump")
        arrivals = microphone_latency.collect_arrivals(context, context.one_machine(), 2.0, 2.0)
    assert len(arrivals) >= 5
    assert all(0 < arrival.inference_s < arrival.latency_s < 60 for arrival in arrivals)


def test_a_daemon_that_cannot_start_is_reported_with_its_last_log_lines(
    small: BenchFixtures,
) -> None:
    context = BenchContext(small, Broker("127.0.0.1", 1883))
    small.model.write_bytes(b"no model")
    with pytest.raises(AsdMonitorError, match=r"ended with exit code 3.*level\.asd"):
        Daemon(context.one_machine(), small.folder).__enter__()


def test_an_absent_broker_is_reported() -> None:
    with pytest.raises(SinkError, match="cannot connect"):
        Subscriber("127.0.0.1", free_port(), "asd").__enter__()


def measure_growth(windows: int, fixtures: BenchFixtures, folder: Path) -> dict[str, float]:
    with Mosquitto(folder) as broker:
        context = BenchContext(fixtures, Broker("127.0.0.1", broker.port))
        return {item.name: item.value for item in memory.measure_growth(context, windows)}


def test_files_and_threads_do_not_grow_and_memory_stays_bounded(
    small: BenchFixtures, tmp_path: Path
) -> None:
    values = measure_growth(5_000, small, tmp_path)
    assert (values["more_files"], values["more_threads"]) == (0, 0)
    assert values["growth_mb"] < 20


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_nothing_grows_over_a_hundred_thousand_windows(
    small: BenchFixtures, tmp_path: Path
) -> None:
    values = measure_growth(100_000, small, tmp_path)
    assert (values["more_files"], values["more_threads"]) == (0, 0)
    assert values["growth_mb"] < 5


@pytest.mark.real_time
@pytest.mark.timeout(1800)
def test_the_quick_benchmark_yields_every_measurement_without_the_offline_extra(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "asd_monitor.cli", "bench", "--quick", "--json"],
        capture_output=True,
        text=True,
        timeout=1700,
        env=environment_without(PACKAGES, tmp_path),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    values = {(item["area"], item["name"]): item["value"] for item in result["measurements"]}
    expected = {(area, name) for area, names in MEASUREMENTS.items() for name in names}
    for kind in ("shared", "own"):
        if values["capacity", f"{kind}_microphones"] == 0:  # on a computer with other work
            names = ("processors", "rss_mb", "dropped_messages")
            expected -= {("capacity", f"{kind}_{name}") for name in names}
    assert values.keys() == expected
    assert (result["schema"], result["quick"]) == (1, True)
    assert result["computer"]["processors"] >= 1
    assert result["load"].keys() == MEASUREMENTS.keys()
    assert values["cpu", "ratio"] > 0
    assert values["cpu", "model_ms_per_s"] > 0
    assert values["latency", "p50_ms"] > values["latency", "model_p50_ms"] > 0
    assert min(values["startup", name] for name in MEASUREMENTS["startup"]) > 0
    assert values["memory", "rss_mb"] > 50


def test_own_models_differ_share_a_program_and_score_as_the_one_they_come_from(
    tmp_path: Path,
) -> None:
    path = save_toy(tmp_path / "toy.asd")
    own = make_own_models(path, tmp_path / "own", 3)
    make_state(tmp_path / "state", tmp_path / "own")
    policy = LoadPolicy.of_state(tmp_path / "state")
    models = [load(each, "cpu", policy=policy) for each in own]
    assert len({model.sha256 for model in models}) == 3
    assert len({id(model._program) for model in models}) == 1
    windows, targets = noise(2), np.zeros(2, np.int64)
    expected = load(path, "cpu").score(windows, targets)
    for model in models:
        np.testing.assert_allclose(model.score(windows, targets), expected, rtol=1e-5)
    forms = [read_signature(each.read_bytes()) for each in own]
    assert all(form is not None and policy.is_own(form) for form in forms)


@pytest.mark.soak
def test_scoring_with_several_threads_is_compared_with_one(
    small: BenchFixtures, broker: Mosquitto
) -> None:
    context = BenchContext(small, Broker("127.0.0.1", broker.port), quick=True)
    values = {each.name: each.value for each in worker_counts.measure(context, 2)}
    names = ("processors", "latency_ms", "late_windows", "lost_samples")
    assert values.keys() == {
        f"own_{n}_{name}_{k}" for n in (1, 4) for name in names for k in (1, 2)
    }
    assert all(values[f"own_4_latency_ms_{threads}"] > 0 for threads in (1, 2))


def test_another_version_is_run_from_its_checkout(small: BenchFixtures, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    command = checkout / "asd_monitor" / "cli.py"
    command.parent.mkdir(parents=True)
    (checkout / "asd_monitor" / "__init__.py").touch()
    command.write_text("raise SystemExit('this is the other version')")
    context = BenchContext(small, Broker("127.0.0.1", 1883))
    with pytest.raises(AsdMonitorError, match="this is the other version"):
        Daemon(context.one_machine(), small.folder, checkout=checkout).__enter__()


def test_areas_can_be_chosen_and_unknown_ones_are_reported() -> None:
    from asd_monitor.bench.run import BenchOptions, run_bench

    with pytest.raises(ConfigError, match="'speed': expected any of latency, cpu"):
        run_bench(BenchOptions(areas=["speed"]), lambda _: None)
