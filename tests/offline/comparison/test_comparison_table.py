"""What a comparison shows: its files, its table, and which model is best."""

import io
import json
import re
import statistics
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from asd_offline.comparison.console import tables
from asd_offline.comparison.run_result import OVERALL
from asd_offline.comparison.summary import Cell, clearly_best
from asd_offline.comparison.table import Column, Entered, padded
from tests.offline.compared_models import Compared


def test_files_are_written(compared: Compared) -> None:
    folder, comparison, _ = compared
    out = folder / "out"
    document = json.loads((out / "result.json").read_text())
    assert document == json.loads(json.dumps(comparison.to_json()))
    rows = (out / "result.csv").read_text().splitlines()
    assert rows[0] == "model,seed,machine,auc,pauc,score"
    assert len(rows) == 1 + 3 * 3
    table = (out / "table.md").read_text().splitlines()
    assert table[0].startswith("| model | fan | pump | mean AUC | mean pAUC | score |")
    assert len({line.count("|") for line in table[:4]}) == 1
    page = (out / "report.html").read_text()
    assert page.count("<svg") == 3  # fan, pump, cost
    links = re.findall(r'href="(.*?)"', page)
    assert len(links) == 2
    assert all((out / link).exists() for link in links)


def test_the_table_is_never_wider_than_the_terminal(compared: Compared) -> None:
    from rich.console import Console

    comparison = compared[1]
    for width in (60, 80, 100, 200):
        console = Console(width=width, record=True, file=io.StringIO())
        parts = list(tables(comparison, width))
        for part in parts:
            console.print(part)
        text = console.export_text()
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        assert text.count("mean AUC") == 1
        assert len(parts) == (1 if width == 200 else len(parts))


def test_a_model_that_lacks_a_section_has_no_mean_over_other_sound(compared: Compared) -> None:
    row = compared[1].rows[0]
    first = row.ran[0].outcome
    assert first is not None
    lacking = replace(first, lacking={"pump/id_00": "no scores"})
    short = replace(row, ran=(replace(row.ran[0], outcome=lacking),))
    assert ("fan", "auc") in short.cells
    assert ("pump", "auc") not in short.cells
    assert (OVERALL, "auc") not in short.cells
    assert "no figures for pump/id_00: no scores" in short.remarks()


auc = st.floats(0, 1)

cells = st.builds(Cell, st.lists(auc, min_size=2, max_size=5).map(tuple))


@given(st.dictionaries(st.sampled_from("abcdef"), cells, min_size=2))
def test_clearly_best_is_ahead_of_every_other_by_more_than_the_spread(
    column: dict[str, Cell],
) -> None:
    best = clearly_best(column)
    leads = {
        (one, other): column[one].mean
        - column[other].mean
        - (statistics.variance(column[one].values) + statistics.variance(column[other].values))
        ** 0.5
        for one in column
        for other in column
        if one != other
    }
    ahead = [one for one in column if all(leads[pair] > 1e-12 for pair in leads if pair[0] == one)]
    near = any(abs(lead) <= 1e-12 for lead in leads.values())
    assert near or best == (ahead[0] if ahead else None)


def test_nobody_is_clearly_best_where_a_spread_is_not_known_or_there_is_one_model() -> None:
    sure, single, exact = Cell((0.9, 0.92)), Cell((0.5,)), Cell((0.5,), exact=True)
    assert clearly_best({"a": sure}) is None
    assert clearly_best({"a": sure, "b": single}) is None
    assert clearly_best({"a": Cell((0.9,), exact=True), "b": exact}) is None


def test_without_chance_a_lead_counts_only_beyond_the_spread_of_the_others() -> None:
    trained, exact = Cell((0.50, 0.52)), Cell((0.9,), exact=True)
    assert clearly_best({"a": exact, "b": trained}) == "a"
    near = Cell((0.895,), exact=True)
    assert clearly_best({"a": exact, "b": near, "c": trained}) is None
    far = Cell((0.87,), exact=True)
    assert clearly_best({"a": exact, "b": far, "c": trained}) == "a"


def test_the_best_has_a_star_and_means_stand_below_each_other() -> None:
    column = Column("AUC", (Entered("0.853 ±0.012", best=True), Entered("0.760")), left=True)
    assert padded(column) == ["0.853*±0.012", "0.760       "]
