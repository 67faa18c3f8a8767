"""Text in CSV files that people open with a spreadsheet, which runs a cell that looks like a
formula.

Names of writers, pages and files come from elsewhere. Excel, LibreOffice and Google Sheets take a
cell that begins with `=`, `+`, `-`, `@` or a control character for a formula (OWASP, "CSV
Injection"); one with an apostrophe before it is text.
"""

from collections.abc import Iterable

_APOSTROPHE = "'"
_STARTERS = ("=", "+", "-", "@")


def harmless_cell(cell: object) -> object:
    r"""A cell that no spreadsheet takes for a formula; numbers, and texts that are numbers, stay as
    they are.

    >>> harmless_cell("=1+1"), harmless_cell("-anna"), harmless_cell("\tx"), harmless_cell("-1.5"), harmless_cell(-2)
    ("'=1+1", "'-anna", "'\tx", '-1.5', -2)
    """  # noqa: W505
    return _APOSTROPHE + cell if isinstance(cell, str) and _is_risky(cell) else cell


def harmless_row(row: Iterable[object]) -> list[object]:
    """The same for each cell of a row; what is neither text nor number is turned into text."""
    return [harmless_cell(cell if isinstance(cell, int | float) or cell is None else str(cell)) for cell in row]


def original_cell(cell: str) -> str:
    """The text that `harmless_cell` was given.

    >>> [original_cell(str(harmless_cell(text))) for text in ("=1+1", "'=1+1", "anna", "'anna")]
    ['=1+1', "'=1+1", 'anna', "'anna"]
    """
    return cell[1:] if cell.startswith(_APOSTROPHE) and _is_risky(cell[1:]) else cell


def _is_risky(text: str) -> bool:
    """Also with apostrophes before it: else it could not be told from one that was made
    harmless.
    """
    bare = text.lstrip(_APOSTROPHE)
    if not bare or not (bare.startswith(_STARTERS) or not bare[0].isprintable()):
        return False
    return len(bare) < len(text) or not _is_number(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text[1:2] not in ("i", "n", "I", "N")  # -inf and -nan are no numbers to a spreadsheet
