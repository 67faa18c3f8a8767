"""Paths in records are relative to their folder; absolute ones of version 0.1 are found again."""

from pathlib import Path

from search.ledger.references import with_absolute_paths, with_relative_paths


def _reference(path: Path | str) -> dict[str, object]:
    return {"path": str(path), "sha256": "ab", "size_bytes": 1}


def test_a_record_is_read_as_it_was_written_and_holds_relative_paths(tmp_path: Path) -> None:
    values = {"model": _reference(tmp_path / "fit" / "model"), "score": 0.5}
    written = with_relative_paths(values, tmp_path / "fit")
    assert written == {"model": _reference("model"), "score": 0.5}
    assert with_absolute_paths(written, tmp_path / "fit") == values


def test_an_absolute_path_of_version_0_1_is_found_in_the_moved_folder(tmp_path: Path) -> None:
    here = tmp_path / "now" / "refits" / "trial-000-2-epochs"
    (here / "test").mkdir(parents=True)
    (here / "test" / "scores.json").write_text("{}")
    stored = [_reference("/old/mlruns/sweeps/tiny/refits/trial-000-2-epochs/test/scores.json")]
    assert with_absolute_paths(stored, here) == [_reference(here / "test" / "scores.json")]


def test_a_file_that_is_kept_elsewhere_stays_where_it_is(tmp_path: Path) -> None:
    stored = _reference("/big disk/models/m-1")
    assert with_relative_paths(stored, tmp_path) == stored
    assert with_absolute_paths(stored, tmp_path) == stored
