"""Files and table of a comparison, and which model is clearly best."""

import io
import json
import re
import statistics
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from asd_offline.comparison.console import make_tables
from asd_offline.comparison.run_result import OVERALL
from asd_offline.comparison.summary import SeedValues, find_clearly_best
from asd_offline.comparison.table import Column, TableCell, caption, pad_cells
from tests.offline.compared_models import Compared


def test_files_are_written(compared: Compared) -> None:
    out = compared.folder / "out"
    document = json.loads((out / "result.json").read_text())
    assert document == json.loads(json.dumps(compared.comparison.to_dict()))
    rows = (out / "result.csv").read_text().splitlines()
    assert rows[0] == "name,model,seed,machine,auc,pauc,score"
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
    for width in (60, 80, 100, 200):
        console = Console(width=width, record=True, file=io.StringIO())
        parts = list(make_tables(compared.comparison, width))
        for part in parts:
            console.print(part)
        text = console.export_text()
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text
        assert text.count("mean AUC") == 1
        assert width < 200 or len(parts) == 1


def test_a_model_without_scores_of_a_section_has_no_mean_over_the_others(
    compared: Compared,
) -> None:
    model = compared.comparison.models[0]
    result = model.runs[0].result
    assert result is not None
    incomplete = replace(result, missing={"pump/id_00": "no scores"})
    model = replace(model, runs=(replace(model.runs[0], result=incomplete),))
    assert ("fan", "auc") in model.metrics
    assert ("pump", "auc") not in model.metrics
    assert (OVERALL, "auc") not in model.metrics
    assert "no metrics for pump/id_00: no scores" in model.remarks()


SEEDS = st.builds(SeedValues, st.lists(st.floats(0, 1), min_size=2, max_size=5).map(tuple))


@given(st.dictionaries(st.sampled_from("abcdef"), SEEDS, min_size=2))
def test_the_clearly_best_is_ahead_of_every_other_by_more_than_the_spread(
    values: dict[str, SeedValues],
) -> None:
    best = find_clearly_best(values)
    leads = {
        (model, other): values[model].mean
        - values[other].mean
        - (statistics.variance(values[model].values) + statistics.variance(values[other].values))
        ** 0.5
        for model in values
        for other in values
        if model != other
    }
    ahead = [
        model
        for model in values
        if all(lead > 1e-12 for (first, _), lead in leads.items() if first == model)
    ]
    is_close = any(abs(lead) <= 1e-12 for lead in leads.values())
    assert is_close or best == (ahead[0] if ahead else None)


def test_no_model_is_clearly_best_alone_or_with_an_unknown_spread() -> None:
    trained, single = SeedValues((0.9, 0.92)), SeedValues((0.5,))
    deterministic = SeedValues((0.5,), deterministic=True)
    assert find_clearly_best({"a": trained}) is None
    assert find_clearly_best({"a": trained, "b": single}) is None
    best = SeedValues((0.9,), deterministic=True)
    assert find_clearly_best({"a": best, "b": deterministic}) is None


def test_the_lead_of_a_deterministic_model_must_exceed_the_spread_of_the_others() -> None:
    trained, best = SeedValues((0.50, 0.52)), SeedValues((0.9,), deterministic=True)
    assert find_clearly_best({"a": best, "b": trained}) == "a"
    near = SeedValues((0.895,), deterministic=True)
    assert find_clearly_best({"a": best, "b": near, "c": trained}) is None
    far = SeedValues((0.87,), deterministic=True)
    assert find_clearly_best({"a": best, "b": far, "c": trained}) == "a"


def test_the_caption_says_why_nothing_is_marked(compared: Compared) -> None:
    deterministic = replace(compared.comparison, models=compared.comparison.models[1:])
    assert "deterministic models have no spread over seeds" in " ".join(caption(deterministic))


def test_the_best_has_a_star_and_means_are_aligned() -> None:
    cells = (TableCell("0.853 ±0.012", best=True), TableCell("0.760"))
    assert pad_cells(Column("AUC", cells, left=True)) == ["0.853*±0.012", "0.760       "]
