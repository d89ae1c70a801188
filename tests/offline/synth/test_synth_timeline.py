"""``synth --timeline``: streams with labelled faults, which ``replay --timeline`` reads."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from asd_monitor.commands.synth import synth
from asd_monitor.errors import ConfigError
from asd_offline.synth.timeline.onset import GROWTH_DB, ONSETS
from asd_offline.synth.timeline.plan import FaultEvent, StreamPlan, plan_streams
from asd_offline.synth.timeline.simulated import BLOCK_S, MODES, SimulatedMachine
from asd_offline.timeline.layout import find_machines

SHORT = ("--timeline", "--hours", "0.05", "--fault-s", "20")

app = typer.Typer()
app.command("synth")(synth)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def report(*arguments: object) -> dict[str, object]:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.exception
    values: dict[str, object] = json.loads(result.stdout)
    return values


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "day"
    kinds = ("--kinds", "hiss", "--levels", "0", "--onsets", "sudden")
    made = report(out, *SHORT, *kinds, "--train-minutes", 1)
    assert (made["machines"], made["streams"], made["faults"]) == (["pump"], 1, 1)
    return out


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    folder = tmp_path / "saw"
    folder.mkdir()
    for number in range(6):
        sound = 0.02 * (1 + number) * np.random.default_rng(number).standard_normal(20_000)
        soundfile.write(folder / f"{number}.wav", sound, 8000)
    return folder


def test_replay_finds_the_streams_the_labels_and_the_training_recordings(simulated: Path) -> None:
    (machine,) = find_machines(simulated, (), 0, needs_train=True)
    (stream,) = machine.streams
    assert stream.duration_s == 200
    (span,) = stream.spans
    assert (span.start_s, span.end_s, span.label) == (30, 50, "hiss")
    assert span.details == {"level_db": "0", "onset": "sudden"}
    assert sum(soundfile.info(path).duration for path in machine.train) == 60


def test_the_fault_sounds_where_its_label_says_and_nowhere_else(simulated: Path) -> None:
    sound, rate_hz = soundfile.read(simulated / "pump" / "streams" / "stream_00.wav")
    spectrum = np.abs(np.fft.rfft(sound.reshape(-1, rate_hz // 2))) ** 2
    high = spectrum[:, 1000:3000].sum(axis=1)  # 2 to 6 kHz, by half seconds
    inside, outside = high[60:100], np.delete(high, slice(59, 101))
    assert inside.min() > 3 * np.median(outside)
    assert np.quantile(outside, 0.9) < inside.min()


def test_sound_depends_on_the_seed_alone() -> None:
    first, same, other = (
        SimulatedMachine("pump", 6.0, unit, StreamPlan("a", 60, (), (unit,))).block(0, 0.0, ())
        for unit in (1, 1, 2)
    )
    assert np.array_equal(first, same)
    assert not np.allclose(first, other)


def test_recordings_are_divided_and_strung_together_in_every_split(
    normals: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ("--inject", normals, "--train-clips", 3, "--splits", 2, "--seed", 7)
    made = report(out, *SHORT, *options, "--kinds", "impacts,whine", "--levels", "-6")
    assert made["machines"] == ["saw_seed_7", "saw_seed_8"]
    drawn = []
    for machine in find_machines(out, (), 0, needs_train=True):
        train = [soundfile.read(path)[0] for path in machine.train]
        assert [len(sound) for sound in train] == [20_000] * 3
        levels = {round(float(np.std(sound)) / 0.02) for sound in train}
        (stream,) = machine.streams
        normal, _ = soundfile.read(stream.path, frames=30 * 8000)
        found = {
            round(float(np.std(normal[start : start + 2000])) / 0.02)
            for start in range(5000, 230_000, 19_840)
        }
        assert levels | found == {1, 2, 3, 4, 5, 6}
        assert not levels & found
        drawn.append(levels)
        assert stream.rate_hz == 8000
        assert len(stream.spans) == 1
    assert drawn[0] != drawn[1]


def test_a_recording_is_learned_unchanged(normals: Path, tmp_path: Path) -> None:
    report(tmp_path / "out", *SHORT, "--inject", normals, "--kinds", "whine", "--levels", "0")
    originals = [soundfile.read(path, dtype="int16")[0] for path in sorted(normals.iterdir())]
    for path in (tmp_path / "out" / "saw" / "train").iterdir():
        sound, _ = soundfile.read(path, dtype="int16")
        nearest = min(np.abs(sound.astype(int) - original).max() for original in originals)
        assert nearest <= 1


def test_every_combination_is_used_once_if_there_is_room() -> None:
    cases = [(kind, level, onset) for kind in "ab" for level in (0.0, -6.0) for onset in ONSETS]
    plans = plan_streams(4 * 3600, 300, cases, (1,))
    faults = [fault for plan in plans for fault in plan.faults]
    assert sorted((f.kind, f.level_db, f.onset) for f in faults) == sorted(cases)
    assert sum(plan.duration_s for plan in plans) == pytest.approx(4 * 3600 + 300 * len(cases))
    for plan in plans:
        ends = [fault.end_s for fault in plan.faults]
        starts = [*(fault.start_s for fault in plan.faults[1:]), plan.duration_s]
        assert all(start - end >= 599 for start, end in zip(starts, ends, strict=True))


@pytest.mark.parametrize("onset", ONSETS)
def test_an_onset_is_silent_outside_the_fault_and_does_not_depend_on_the_blocks(onset: str) -> None:
    time_s = np.arange(-20.0, 120.0, 0.001)

    def gain(part: np.ndarray) -> np.ndarray:
        return ONSETS[onset](part, 100.0, np.random.default_rng(1))

    whole = gain(time_s)
    assert np.array_equal(whole, np.concatenate([gain(time_s[:70_000]), gain(time_s[70_000:])]))
    assert not whole[(time_s < 0) | (time_s > 100)].any()
    assert whole.max() == 1
    if onset == "growing":
        level_db = 20 * np.log10(whole[(time_s > 0.1) & (time_s < 70)])
        assert level_db[0] == pytest.approx(-GROWTH_DB, abs=0.1)
        assert (np.diff(level_db) > 0).all()
    if onset == "intermittent":
        assert 0.02 < np.mean(whole[(time_s > 0) & (time_s < 100)] > 0.5) < 0.3


def test_training_sound_has_every_mode_and_a_fault_never_falls_into_off() -> None:
    fault = FaultEvent(0, 7200, "hiss", 0.0, "sudden", (1,))
    for seed in range(20):
        training = SimulatedMachine("pump", 6.0, 1, StreamPlan("a", 600, (), (seed,)), (2, 5))
        assert set(training._modes[: int(600 / BLOCK_S)]) == set(MODES)
        faulty = SimulatedMachine("pump", 6.0, 1, StreamPlan("a", 7200, (fault,), (seed,)))
        assert "off" not in faulty._modes[: int(7200 / BLOCK_S)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--timeline", "--onsets", "suden"), "did you mean sudden?"),
        (("--timeline", "--machines", "pumpe"), "did you mean pump?"),
        (("--timeline", "--hours", "0"), "--hours: expected 0.05 to 1000, got 0"),
        (("--timeline", "--year", "2020"), "--year: has no effect"),
        (("--timeline", "--splits", "2"), "--splits: needs --inject"),
        (("--hours", "1"), "--hours: needs --timeline"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    error = call(tmp_path / "out", *options).exception
    assert isinstance(error, ConfigError)
    assert words in str(error)
