"""Strips of states, gauges of scores, and the words of the pages."""

from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.history.records import ModeSpan, StateSpan
from asd_monitor.records import State
from asd_monitor.terminal.durations import format_duration
from asd_monitor.web import formats
from asd_monitor.web.gauge import make_gauge
from asd_monitor.web.strip import WIDTH, make_mode_strips, make_strip

finite = st.floats(-1e6, 1e6)
spans = st.lists(
    st.builds(
        lambda begin, length, state: StateSpan(begin, length and begin + length, state),
        st.floats(-1000, 2000),
        st.one_of(st.none(), st.floats(0, 3000)),
        st.sampled_from(State),
    )
)


@given(spans)
def test_a_strip_stays_within_its_frame(found: list[StateSpan]) -> None:
    strip = make_strip(found, 0.0, 1000.0)
    intervals = [interval for part in strip.parts for interval in part.intervals]
    assert all(0 <= begin <= end <= WIDTH + 0.02 for begin, end in intervals)


def test_a_short_alarm_is_visible_and_over_the_normal_state() -> None:
    day = [
        StateSpan(0, 50_000, State.NORMAL),
        StateSpan(50_000, 50_001, State.ALARM),
        StateSpan(50_001, None, State.NORMAL),
    ]
    strip = make_strip(day, 0, 86_400)
    assert strip.parts[-1].state is State.ALARM
    ((begin, end),) = strip.parts[-1].intervals
    assert end - begin >= 6
    assert strip.summary == "alarm 1 s, normal 23 h 59 min"


def test_each_mode_has_a_drawing_of_its_times() -> None:
    spans = [ModeSpan(-50, 25, "idle"), ModeSpan(25, 80, "full load"), ModeSpan(80, None, "idle")]
    load, idle = make_mode_strips(spans, 0, 100)
    assert (load.mode, load.path, load.summary) == ("full load", "M250 0H800V10H250z", "55 s")
    assert (idle.mode, idle.path) == ("idle", "M0 0H250V10H0zM800 0H1000V10H800z")


def test_a_time_without_records_says_so() -> None:
    assert make_strip([], 0, 10).summary == "nothing recorded"


@given(st.none() | finite, st.none() | finite, st.none() | finite)
def test_a_gauge_keeps_the_order_of_its_values(
    score: float | None, normal_range: float | None, threshold: float | None
) -> None:
    gauge = make_gauge(score, normal_range, threshold)
    if gauge is None:
        return
    pairs = [(score, gauge.score), (normal_range, gauge.normal_range), (threshold, gauge.threshold)]
    known = sorted(
        (value, place) for value, place in pairs if value is not None and place is not None
    )
    places = [place for _, place in known]
    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)


def test_a_gauge_needs_a_limit() -> None:
    assert make_gauge(1.0, None, None) is None


def test_durations_have_at_most_two_units() -> None:
    texts = [format_duration(seconds) for seconds in (0, 59.6, 92, 3600, 90_061, 864_000)]
    assert texts == ["0 s", "1 min", "1 min 32 s", "1 h", "1 d 1 h", "10 d"]


@given(finite)
def test_numbers_are_short(value: float) -> None:
    assert len(formats.format_number(value)) <= 10


def test_every_state_has_a_word_and_a_place_in_the_order() -> None:
    assert set(formats.STATE_WORDS) == set(State)
    assert next(iter(formats.STATE_WORDS)) is State.ALARM


def test_parts_in_backticks_are_code_and_everything_is_escaped() -> None:
    text = formats.format_code("see `top <x>` & others")
    assert text == "see <code>top &lt;x&gt;</code> &amp; others"
