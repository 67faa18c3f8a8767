"""Whole generated sheets of A4 at 300 dpi with everything on them, read as their corpora would
be.
"""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.line_truth import LineTruth, compare_lines
from core.errors import ImageError
from core.handwriting.penmanship import draw_penmanship
from core.handwriting.sheet import WrittenSheet, write_sheet
from core.handwriting.sheet_style import Edge, SheetStyle, draw_style
from core.pages.text_lines import ReadPage, read_page
from core.settings import InkSettings

ALL = SheetStyle(form="iam", paper="ruled", turn_deg=3.0, noise=8.0, n_specks=400, edge="band", edge_share=0.024)


def written(seed: int, style: SheetStyle) -> WrittenSheet:
    return write_sheet(draw_penmanship(np.random.default_rng(seed)), style, np.random.default_rng([seed, 1]))


def read(sheet: WrittenSheet, style: SheetStyle) -> ReadPage:
    return read_page(sheet.pixels, "page" if style.form == "none" else "form", InkSettings())


def truth(seed: int, style: SheetStyle) -> LineTruth:
    sheet = written(seed, style)
    return compare_lines(sheet, read(sheet, style))


@pytest.mark.long
def test_lines_are_found_among_rules_header_footer_skew_noise_and_dark_edges() -> None:
    compared = [truth(7, ALL), truth(8, replace(ALL, turn_deg=-3.0)), truth(9, replace(ALL, paper="plain"))]
    outcomes = [outcome for one in compared for outcome in one.outcomes]
    assert len(outcomes) > 40
    assert outcomes.count("whole") >= 0.98 * len(outcomes)
    assert [one.n_foreign for one in compared] == [0, 0, 0], "neither print nor rules are lines"
    assert np.median(np.abs(np.concatenate([one.text_errors for one in compared]))) < 0.10


@pytest.mark.long
@pytest.mark.parametrize("missing_rule", [0, 1, 2])
def test_a_form_may_lack_one_of_its_rules(missing_rule: int) -> None:
    style = SheetStyle(form="iam", missing_rule=missing_rule, turn_deg=1.5)
    compared = truth(10, style)
    assert compared.share_whole == 1.0
    assert compared.n_foreign == 0, "the print gave no line"


@pytest.mark.long
def test_squared_paper_and_a_form_without_footer() -> None:
    style = SheetStyle(form="cvl", paper="squared", rule_darkness=0.3, turn_deg=-4.5, noise=8.0)
    compared = truth(11, style)
    assert compared.share_whole >= 0.98
    assert compared.n_foreign == 0


def test_a_page_without_print_is_no_form(plain: WrittenSheet) -> None:
    with pytest.raises(ImageError, match=r"printed header .* 0 of such rules .* unit to page"):
        read_page(plain.pixels, "form", InkSettings())


def test_a_clean_level_page_is_left_as_it_is(plain: WrittenSheet) -> None:
    clean = read_page(plain.pixels, "page", InkSettings()).clean
    assert not clean.is_changed
    assert np.array_equal(clean.to_page, np.eye(2, 3))
    assert clean.tone.shape == plain.pixels.shape


def test_the_grey_values_of_a_page_can_be_kept(plain: WrittenSheet) -> None:
    ruled = plain.pixels.copy()
    ruled[500:503] = 120
    clean = read_page(ruled, "page", InkSettings(normalise_tone=False)).clean
    assert clean.n_rules == 1
    assert np.array_equal(clean.shown[1000:], ruled[1000:])
    paper = np.median(ruled)
    assert abs(np.median(clean.shown[501]) - paper) < 0.05 * paper


@pytest.fixture(scope="module")
def plain() -> WrittenSheet:
    """A sheet with nothing but handwriting."""
    return written(12, SheetStyle())


def test_the_handwriting_is_the_same_on_ruled_paper(plain: WrittenSheet) -> None:
    ruled = written(12, SheetStyle(paper="ruled"))
    assert [line.text for line in ruled.lines] == [line.text for line in plain.lines]
    assert np.array_equal(ruled.line_of_pixel, plain.line_of_pixel)
    assert differs(ruled.pixels, plain.pixels) > 0.01


def differs(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float((np.abs(one.astype(int) - other) > 30).mean())


def test_a_photograph_on_a_dark_desk_is_a_page(plain: WrittenSheet) -> None:
    engine_thread = np.random.default_rng(0).normal(60, 6, (plain.pixels.shape[0] + 600, plain.pixels.shape[1] + 600))
    engine_thread[300:-300, 300:-300] = plain.pixels
    page = read_page(engine_thread.clip(0, 255).astype(np.uint8), "auto", InkSettings())
    assert len(page.lines) == len(plain.lines)


EDGES = [
    pytest.param(edge, seed, marks=[pytest.mark.long] if seed > 41 else [])
    for edge in ("shadow", "band", "corners", "punch_holes")
    for seed in range(40, 52)
]


@pytest.mark.slow
@pytest.mark.parametrize(("edge", "seed"), EDGES)
def test_what_a_scanner_shows_around_a_sheet_is_no_ink(edge: Edge, seed: int) -> None:
    style = draw_style(np.random.default_rng(seed), edge=edge)
    sheet = write_sheet(draw_penmanship(np.random.default_rng(seed)), style, np.random.default_rng([seed, 1]), 3)
    page = read_page(sheet.pixels, "page", InkSettings())
    compared = compare_lines(sheet, page)
    assert compared.outcomes == ("whole",) * 3
    assert compared.n_foreign == 0
    assert len(page.lines) == 3


FOLLOWED = [SheetStyle(turn_deg=9.0), SheetStyle(fan_deg=5.5), SheetStyle(curve=0.5), SheetStyle(columns=2)]
ALSO = [
    SheetStyle(slope_deg=-9.5),
    SheetStyle(fan_deg=-6.0, paper="ruled"),
    SheetStyle(curve=-0.45, tool="pencil"),
    SheetStyle(columns=2, slope_deg=3.0),
    SheetStyle(paper="dotted"),
    SheetStyle(paper="dotted", turn_deg=3.0),
    SheetStyle(last_line="short"),
]


@pytest.mark.parametrize("style", [*FOLLOWED, *(pytest.param(style, marks=pytest.mark.long) for style in ALSO)])
@pytest.mark.slow
def test_each_line_is_followed_by_itself(style: SheetStyle) -> None:
    sheet = write_sheet(draw_penmanship(np.random.default_rng(60)), style, np.random.default_rng([60, 1]), 9)
    page = read_page(sheet.pixels, "page", InkSettings())
    compared = compare_lines(sheet, page)
    assert set(compared.outcomes) == {"whole"}
    assert len(page.lines) == len(sheet.lines)
    assert np.median(np.abs(compared.text_errors)) < 0.1


def test_a_bent_line_is_cut_out_level() -> None:
    style = SheetStyle(fan_deg=6.0)
    sheet = write_sheet(draw_penmanship(np.random.default_rng(61)), style, np.random.default_rng([61, 1]), 9)
    page = read_page(sheet.pixels, "page", InkSettings())
    first = page.lines[0]
    assert first.bend is not None
    assert first.cut_from(page.clean.tone).shape[0] < 0.8 * first.region.height


def test_writing_in_the_shade_at_a_side_is_kept() -> None:
    sheet = write_sheet(draw_penmanship(np.random.default_rng(62)), SheetStyle(), np.random.default_rng([62, 1]), 3)
    ink = np.flatnonzero((sheet.line_of_pixel > 0).any(axis=0))
    close = sheet.pixels[:, ink[0] - 10 :].astype(float)
    shade = np.ones(close.shape[1])
    shade[:180] = 0.75
    page = read_page((close * shade).astype(np.uint8), "page", InkSettings())
    assert [line.region.left < 60 for line in page.lines] == [True] * 3
