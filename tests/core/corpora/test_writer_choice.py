from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.corpora.index import AmountName, CorpusIndex, Excluded, TextImage
from core.corpora.settings import WriterSettings
from core.corpora.writer_choice import ChosenCorpus, choose_writers
from core.errors import CorpusError
from tests.core.splits.test_by_page import corpus

PAGES = {"10": 3, "2": 5, "3": 3, "4": 3, "5": 1}


def choose(index: CorpusIndex | None = None, ink: Mapping[str, int] | None = None, **settings: Any) -> ChosenCorpus:
    def count_ink(index: CorpusIndex) -> Mapping[str, int]:
        assert ink is not None, "ink is counted only where it decides"
        return ink

    return choose_writers(index or corpus(PAGES, n_lines=2), WriterSettings(**settings), count_ink)


def with_amounts(amounts: Mapping[AmountName, Mapping[str, int]]) -> CorpusIndex:
    return replace(corpus(PAGES, n_lines=2), amounts=amounts)


def not_chosen(chosen: ChosenCorpus) -> dict[str, str]:
    assert chosen.choice is not None
    return {writer.writer_id: writer.reason for writer in chosen.choice.writers}


def test_without_a_rule_all_take_part() -> None:
    index = corpus(PAGES)
    assert choose(index) == ChosenCorpus(index, None)


def test_those_with_most_pages_are_chosen_and_the_lower_id_at_a_tie() -> None:
    chosen = choose(top_writers={"n": 3})
    assert set(chosen.index.writer_ids) == {"2", "3", "4"}
    assert chosen.choice is not None
    assert chosen.choice.rule == (
        "The 3 of 5 writers with most pages (counted as they lie there), 3 or more; of the 3 writers with 3, 2 by the "
        "lower id: 2 writers left out."
    )
    assert not_chosen(chosen) == {
        "5": "has 1 pages, and the top 3 3 or more (writers.top_writers)",
        "10": "has 3 pages, as the last one in, and a higher id (writers.top_writers)",
    }


def test_no_tie_is_told_where_none_decided() -> None:
    chosen = choose(top_writers={"n": 4})
    assert chosen.choice is not None
    assert "lower" not in chosen.choice.rule


def test_what_the_tables_say_counts_before_what_lies_there() -> None:
    chosen = choose(with_amounts({"forms": {"5": 9, "10": 8}}), top_writers={"n": 2})
    assert set(chosen.index.writer_ids) == {"5", "10"}


@pytest.mark.parametrize("by", ["sentences", "lines"])
def test_sentences_and_lines_are_counted_by_the_tables(by: AmountName) -> None:
    amounts: Mapping[AmountName, Mapping[str, int]] = {by: {"3": 4, "4": 5}}
    assert set(choose(with_amounts(amounts), top_writers={"n": 2, "by": by}).index.writer_ids) == {"3", "4"}


def test_images_of_lines_are_counted_where_there_are_no_tables() -> None:
    assert "2" in choose(top_writers={"n": 2, "by": "lines"}).index.writer_ids


def test_sentences_that_nobody_has_counted_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"by: sentences needs a corpus that says .* Take one of forms, ink\."):
        choose(top_writers={"n": 2, "by": "sentences"})


def test_lines_on_pages_that_nobody_has_counted_are_refused() -> None:
    index = corpus(PAGES)
    pages = replace(index, images=tuple(replace(image, unit="page") for image in index.images))
    with pytest.raises(CorpusError, match=r"by: lines needs"):
        choose(pages, top_writers={"n": 2, "by": "lines"})


def test_ink_is_counted_of_those_whom_the_other_rules_leave() -> None:
    chosen = choose(ink={"2": 1, "3": 70, "4": 90}, exclude=("10",), min_pages=2, top_writers={"n": 2, "by": "ink"})
    assert set(chosen.index.writer_ids) == {"3", "4"}
    assert not_chosen(chosen)["2"] == "has 1 ink, and the top 2 70 or more (writers.top_writers)"


def test_more_writers_than_there_are_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"got n=5, and there are 4 in 'made'\. Only writers with 2 pages or more"):
        choose(min_pages=2, top_writers={"n": 5})


def test_writers_with_too_few_pages_are_excluded() -> None:
    assert not_chosen(choose(min_pages=2)) == {"5": "has 1 page, needs 2 (writers.min_pages)"}


def test_writers_are_included_and_excluded_by_name(tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("2\n3\n4\n", encoding="utf-8")
    chosen = choose(include=tmp_path / "some.txt", exclude=("3",))
    assert set(chosen.index.writer_ids) == {"2", "4"}
    assert not_chosen(chosen) == {
        "3": "is in writers.exclude",
        "5": "is not in writers.include",
        "10": "is not in writers.include",
    }


def test_unknown_writers_are_refused_with_the_nearest() -> None:
    with pytest.raises(CorpusError, match=r"writers\.include must name writers .* '100' \(the nearest: '10'"):
        choose(include=("2", "100"))


def test_pages_are_excluded_and_their_writers_counted_without_them() -> None:
    chosen = choose(exclude_pages=("3-0", "4-0", "5-0"), min_pages=3)
    assert set(chosen.index.writer_ids) == {"2", "10"}
    assert not_chosen(chosen)["5"] == "has 0 pages, needs 3 (writers.min_pages)"
    pages = choose(exclude_pages=("3-0",)).choice
    assert pages is not None
    assert [(page.page_id, page.writer_id, page.reason) for page in pages.pages] == [
        ("3-0", "3", "is in writers.exclude_pages")
    ]


def test_only_the_pages_asked_for_take_part_and_a_writer_without_one_is_excluded() -> None:
    chosen = choose(include_pages=("2-0", "2-4", "3-1"))
    assert {image.page_id for image in chosen.index.images} == {"2-0", "2-4", "3-1"}
    assert not_chosen(chosen)["4"] == "has 0 pages, needs 1 (writers.min_pages)"


def test_unknown_pages_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"writers\.exclude_pages must name pages .* '3-9' \(the nearest: '3-"):
        choose(exclude_pages=("3-9",))


def test_images_are_named_where_there_are_no_pages() -> None:
    images = tuple(TextImage(f"{writer}{number}", Path("x.png"), writer) for writer in "ab" for number in range(3))
    chosen = choose(CorpusIndex("words", Path(), images), exclude_pages=("a1",))
    assert [image.image_id for image in chosen.index.images] == ["a0", "a2", "b0", "b1", "b2"]


def test_fewer_than_two_writers_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"leaves 1 of 5 of 'made'\. Only the 1 writers"):
        choose(include=("2",))


def test_every_image_takes_part_or_is_excluded_with_a_reason() -> None:
    index = corpus(PAGES, n_lines=2)
    chosen = choose(index, exclude=("4",), exclude_pages=("2-1",), min_pages=2)
    kept = [image.image_id for image in chosen.index.images]
    gone = {entry.image_id: entry.reason for entry in chosen.index.not_chosen}
    assert sorted([*kept, *map(str, gone)]) == sorted(image.image_id for image in index.images)
    assert gone["4-0-0"] == "writer '4' is in writers.exclude"
    assert gone["2-1-1"] == "page '2-1' is in writers.exclude_pages"


def test_what_is_missing_of_writers_who_take_no_part_is_excluded_with_both_reasons() -> None:
    table = Path("forms.txt")
    missing = tuple(
        Excluded(table, f"names {form}, which is not there", writer_id=writer_id)
        for form, writer_id in (("a", "2"), ("b", "5"), ("c", "unknown"), ("d", None))
    )
    chosen = choose(replace(corpus(PAGES), unusable=missing), top_writers={"n": 3}).index
    assert chosen.unusable == (missing[0], missing[3])
    assert [entry.reason for entry in chosen.not_chosen if entry.path == table] == [
        "names b, which is not there; writer '5' has 1 pages, and the top 3 3 or more (writers.top_writers)",
        "names c, which is not there; writer 'unknown' has no images",
    ]
