"""The mapped list of lines says what the list says, or else it is made anew."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from core.corpora.index import CorpusIndex
from core.lines.line_table import LineTable, columns_of
from core.lines.mapped_arrays import load_arrays, save_arrays
from core.lines.source import StoredLine
from core.lines.store import TABLE, LineStore, build_line_store
from core.settings import InkSettings

IMAGES = [
    ("ä-0", "anna", "p0", [30, 20]),
    ("b-0", "bert", "p1", []),
    ("b-1", "bert", "p1", [7]),
    ("\udcff", "", "", [1]),
]
LINES = (
    StoredLine("ä-0", 0, "anna", "p0", 30),
    StoredLine("ä-0", 1, "anna", "p0", 20),
    StoredLine("b-1", 0, "bert", "p1", 7),
    StoredLine("\udcff", 0, "", "", 1),
)


def test_a_table_is_a_sequence_of_its_lines() -> None:
    table = LineTable.of_images(IMAGES)
    assert tuple(table) == LINES
    assert [table[k] for k in range(4)] == list(LINES)
    assert (table[-1], table[1:3]) == (LINES[3], LINES[1:3])
    assert [table[k] for k in np.array([2, 0])] == [LINES[2], LINES[0]]
    assert (len(table), table == LINES, table == LINES[:3]) == (4, True, False)
    with pytest.raises(IndexError):
        table[4]


def test_the_columns_of_a_table_are_those_of_its_lines() -> None:
    of_table, of_lines = columns_of(LineTable.of_images(IMAGES)), columns_of(LINES)
    assert of_table.widths_px.tolist() == of_lines.widths_px.tolist() == [30, 20, 7, 1]
    for columns in (of_table, of_lines):
        assert [columns.image_ids[k] for k in columns.images] == [line.image_id for line in LINES]
        assert [columns.writer_ids[k] for k in columns.images] == [line.writer_id for line in LINES]
        assert [columns.group_ids[k] for k in columns.images] == [line.group_id for line in LINES]


@pytest.fixture
def store(hands_index: CorpusIndex, tmp_path: Path) -> LineStore:
    return build_line_store(hands_index, InkSettings(), tmp_path)


@pytest.mark.parametrize("damage", ["missing", "torn", "changed", "of another list"])
def test_a_table_that_is_wrong_is_made_again(store: LineStore, damage: str) -> None:
    table = store.folder / TABLE
    whole = table.read_bytes()
    if damage == "missing":
        table.unlink()
    else:
        half = len(whole) // 2
        changed = {"torn": whole[:half], "changed": whole[:-200] + b"x" + whole[-199:]}
        table.write_bytes(changed.get(damage, whole.replace(b'"list": "', b'"list": "0')))
    again = LineStore.open(store.folder)
    assert again.lines == store.lines
    assert np.array_equal(again.pixels(20), store.pixels(20))
    assert table.read_bytes() == whole


def test_a_store_that_cannot_be_written_is_opened_without_a_table(
    store: LineStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store.folder / TABLE).unlink()

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "replace", refuse)
    assert LineStore.open(store.folder).lines == store.lines
    assert sorted(path.name for path in store.folder.iterdir()) == ["lines.json"]


def test_arrays_of_something_else_are_not_taken(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    arrays: dict[str, NDArray[Any]] = {"a": np.arange(5), "none": np.zeros(0, np.int32), "b": np.arange(3.0)}
    save_arrays(place, {"of": 1}, arrays)
    found = load_arrays(place, {"of": 1})
    assert found is not None
    assert {name: values.tolist() for name, values in found.items()} == {
        "a": [0, 1, 2, 3, 4],
        "none": [],
        "b": [0, 1, 2],
    }
    assert load_arrays(place, {"of": 2}) is None
    assert load_arrays(tmp_path / "nothing", {"of": 1}) is None
