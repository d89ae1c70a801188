"""The lowest levels: what counts as detected, and its form in files."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.detectability.result import LIMITS_S, Detectability, FaultLevels
from asd_monitor.detectability.sentences import describe, describe_method, format_level

LEVELS_DB = (0.0, -6.0, -12.0, -18.0)


def levels(
    *lowest_db: float | None, within_60_s: tuple[float | None, ...] | None = None
) -> FaultLevels:
    fast = lowest_db if within_60_s is None else within_60_s
    return FaultLevels("impacts", LEVELS_DB, {60: fast, 300: lowest_db})


def result(*faults: FaultLevels, **values: object) -> Detectability:
    filled = {"trials": 5, "alarmed_trials": 0, "faults": faults} | values
    return Detectability("ab", "2026-11-30T12:00:00+00:00", 1.0, 1.0, 300.0, **filled)  # type: ignore[arg-type]


lowest = st.lists(st.sampled_from([None, *LEVELS_DB]), min_size=1, max_size=8)


@given(lowest)
def test_a_louder_fault_is_never_less_detectable(lowest_db: list[float | None]) -> None:
    fault = levels(*lowest_db)
    shares = [fault.share(level, 300) for level in LEVELS_DB]
    assert shares == sorted(shares, reverse=True)
    detected = fault.detected_db(300)
    for level in LEVELS_DB:
        assert (fault.share(level, 300) >= 0.8) == (detected is not None and level >= detected)


def test_a_level_counts_as_detected_where_four_of_five_trials_detected_it() -> None:
    assert levels(-18.0, -12.0, -6.0, -6.0, None).detected_db(300) == -6.0
    assert levels(-18.0, -18.0, -18.0, None, None).detected_db(300) is None


@given(lowest, lowest)
def test_a_result_is_restored_from_its_file(
    first: list[float | None], second: list[float | None]
) -> None:
    saved = result(levels(*first), levels(*second), alarmed_trials=1)
    assert Detectability.from_dict(json.loads(json.dumps(saved.to_dict()))) == saved


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 2},
        {"sound_s": "long"},
        {"faults": [{"kind": "impacts"}]},
        {"faults": None},
        {"model_sha256": 3},
        {"unknown": 1},
    ],
)
def test_a_damaged_result_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Detectability.from_dict(result(levels(-6.0)).to_dict() | change)


def test_the_sentence_names_what_is_and_what_is_not_detected() -> None:
    hiss = FaultLevels("hiss", LEVELS_DB, dict.fromkeys(LIMITS_S, (None, None, None)))
    text = describe(result(levels(-12.0, -12.0, -12.0), hiss))
    assert text == (
        "within 5 minutes, at 1 false alarm a month, it detects impacts down to -12 dB, compared "
        "with the machine's own sound; within 5 minutes it does not detect hissing, even at 0 dB"
    )
    assert format_level(hiss, 60) == "not detected"


def test_the_method_names_parts_that_alarmed_without_a_fault() -> None:
    text = describe_method(result(levels(-6.0), trials=3, alarmed_trials=2))
    assert "3 parts" in text
    assert "in 2 of 5 parts normal sound alone raised the alarm" in text


def test_a_problem_is_the_whole_description() -> None:
    short = result(trials=0, problem="found 30 s; learn for longer")
    assert describe(short).endswith("was not measured: found 30 s; learn for longer")
    assert describe_method(short) == ""
