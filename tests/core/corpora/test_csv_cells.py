import pytest

from core.corpora.csv_cells import harmless_cell, harmless_row, original_cell

FORMULAS = ['=HYPERLINK("http://x")', "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\x00=1", "\x1b[31m"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text_and_can_be_read_back(text: str) -> None:
    cell = harmless_cell(text)
    assert cell == f"'{text}"
    assert original_cell(str(cell)) == text


@pytest.mark.parametrize("text", ["anna", "a=b", "0123", "-1.5", "+3", "1e-5", "-1e5", "", "O'Brien", "'tis"])
def test_other_texts_and_numbers_stay_as_they_are(text: str) -> None:
    assert harmless_cell(text) == text
    assert original_cell(text) == text


@pytest.mark.parametrize("text", ["'=1", "''=1", "'-x", "-inf", "-nan"])
def test_what_looks_as_if_it_was_made_harmless_is_told_apart(text: str) -> None:
    assert original_cell(str(harmless_cell(text))) == text


def test_numbers_of_a_row_stay_numbers() -> None:
    assert harmless_row([-1, -2.5, None, "=x", True]) == [-1, -2.5, None, "'=x", True]
