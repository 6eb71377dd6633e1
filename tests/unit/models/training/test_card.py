import re

import pytest

from models.training import card, recipe
from models.training.faults import FAULTS
from models.training.held_out import SHIPPED
from shared import manifest as manifests
from shared.bundle import find_bundle
from shared.cmapss import SUBSETS


@pytest.fixture(scope="module")
def seeds(make_fold):
    return [[make_fold(10 * seed + fold, late_by=0.0, engines=8) for fold in range(3)] for seed in range(2)]


@pytest.fixture(scope="module")
def tables(seeds):
    return card.tables_of_seeds(seeds)


@pytest.fixture(scope="module")
def text(seeds, tables):
    return card.write_card(manifests.read(find_bundle("turbofan")), seeds, tables, 90_000)


def test_figures_are_mean_and_deviation_over_the_seeds(tables, text):
    found = tables[SHIPPED]["FD002"]["C125"]
    assert found["rmse_sd"] > 0
    assert f"| FD002: {SHIPPED} | {found['rmse']:.3f} ± {found['rmse_sd']:.3f} |" in text


def test_every_row_of_a_table_has_a_cell_for_every_column(text):
    blocks = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(blocks) == 6
    for block in blocks:
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_it_tells_of_every_subset_in_every_way_and_of_every_fault(text):
    for subset in (*SUBSETS, "pooled"):
        assert len(re.findall(rf"^\| {subset}: {re.escape(SHIPPED)}, age unknown \|", text, re.MULTILINE)) == 3
    for fault in FAULTS:
        assert re.search(rf"^\| {fault} \| \d+ \| ", text, re.MULTILINE)
    assert "\n| a channel stuck, not flagged | " in text


def test_it_tells_of_its_makers_choices_and_leaves_no_place_empty(text):
    assert f"{recipe.MEMBERS} multilayer perceptrons" in text
    assert f"dealt into {recipe.FOLDS} folds" in text
    assert not re.search(r"[{}]|\bnan\b|None", text)
