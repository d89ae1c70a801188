"""Whatever arrives in whatever order is stored once, and summarised as it is stored."""

import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.history.cases import CaseTracker
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.settings import HistorySettings
from asd_monitor.records import ScoredWindow, State, Transition
from tests.rig.history import AT_S, change, score_at, writing

scores = st.builds(
    score_at,
    st.integers(0, 4000).map(lambda tenths: AT_S + tenths / 10),
    st.floats(-1e6, 1e6),
    st.sampled_from(["pump", "fan"]),
)
changes = st.builds(
    change,
    st.sampled_from(State),
    st.integers(0, 400).map(lambda second: AT_S + second),
    machine=st.sampled_from(["pump", "fan"]),
)
runs = st.lists(st.lists(scores | changes, max_size=40), max_size=4)


@settings(max_examples=25, deadline=None)
@given(runs)
def test_every_record_is_stored_over_restarts_and_steps_of_the_clock(
    runs: list[list[ScoredWindow | Transition]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        for records in runs:
            with writing(path, HistorySettings(scores_days=1e4, minutes_days=1e4)) as writer:
                tracker = CaseTracker(writer.open_events)
                for record in records:
                    if isinstance(record, Transition):
                        record = tracker.assign(record)
                    writer.record(record)
            assert writer.dropped == 0
        if runs:
            check(HistoryReader(path), [record for records in runs for record in records])


def check(reader: HistoryReader, records: list[ScoredWindow | Transition]) -> None:
    """Compare what is stored with what was recorded."""
    assert set(reader.machines()) == {record.machine for record in records}
    for machine in reader.machines():
        own = [record for record in records if record.machine == machine]
        rows = reader.scores(machine, 0, 2 * AT_S)
        recorded = [record.score.value for record in own if isinstance(record, ScoredWindow)]
        assert Counter(row.value for row in rows) == Counter(recorded)
        for minute in reader.minutes(machine, 0, 2 * AT_S):
            inside = [
                row.value or 0.0 for row in rows if 0 <= row.at_s - minute.start_s < minute.length_s
            ]
            assert minute.windows == minute.scored == len(inside)
            assert (minute.lowest, minute.highest) == (min(inside), max(inside))
            assert minute.median == median(inside)
        hours = reader.hours(machine, 0, 2 * AT_S)
        assert sum(hour.windows for hour in hours) == len(rows)
        assert len(reader.events(machine, open=True)) <= 1
        spans = reader.spans(machine, 0, 2 * AT_S)
        assert len(spans) == sum(isinstance(record, Transition) for record in own)
        assert all(span.to_s is not None and span.to_s >= span.from_s for span in spans)
