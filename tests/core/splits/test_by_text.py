import dataclasses
from pathlib import Path
from typing import Any

import pytest

from core.corpora.index import CorpusIndex, TextImage
from core.errors import SplitError
from core.splits.by_text import split_texts
from core.splits.manifest import SUBSETS, SplitManifest
from core.splits.settings import SplitSettings


def copied(texts_of_writer: dict[str, str]) -> CorpusIndex:
    """A corpus in which each letter is a text, on a page of its own unless joined by `+`."""
    images = []
    for writer, said in texts_of_writer.items():
        for number, page in enumerate(said.split()):
            images += [
                TextImage(
                    f"{writer}-{number}-{text}", Path("x.png"), writer, page_id=f"{writer}-{number}", text_id=text
                )
                for text in page.split("+")
            ]
    return CorpusIndex("copied", Path(), tuple(images))


def split(index: CorpusIndex, unusable: tuple[str, ...] = (), **settings: Any) -> SplitManifest:
    return split_texts(index, SplitSettings(kind="text", **settings), unusable)


def texts(manifest: SplitManifest) -> list[set[str]]:
    return [{image_id[-1] for image_id in manifest.image_ids(subset)} for subset in SUBSETS]


def writers(manifest: SplitManifest) -> list[set[str]]:
    return [{image_id[0] for image_id in manifest.image_ids(subset)} for subset in SUBSETS]


@pytest.mark.parametrize("seed", range(5))
def test_no_text_is_in_two_subsets_and_every_writer_in_all(seed: int) -> None:
    index = copied({"1": "a b c d e", "2": "a b c d e", "3": "b d e f g", "4": "a c f g h"})
    manifest = split(index, seed=seed)
    train, validation, test = texts(manifest)
    assert sum(map(len, (train, validation, test))) == len(train | validation | test)
    assert writers(manifest) == [{"1", "2", "3", "4"}] * 3
    manifest.check_fits(index)
    assert manifest.divided_by == "text and page"


def test_the_shares_are_met_as_nearly_as_texts_allow() -> None:
    manifest = split(copied(dict.fromkeys("123", "a b c d e f g h i j")))
    assert [len(subset) for subset in texts(manifest)] == [6, 2, 2]


def test_shares_that_are_nearly_whole_pages_do_no_harm() -> None:
    index = copied({"1": "a b c", "2": "d e f", "3": "g h i"})
    assert [len(subset) for subset in texts(split(index, validation=0.333333, test=0.0))] == [6, 3, 0]


def test_without_a_test_subset_two_texts_are_enough() -> None:
    manifest = split(copied({"1": "a b", "2": "a b"}), test=0.0)
    assert [len(subset) for subset in texts(manifest)] == [1, 1, 0]


def test_the_same_seed_deals_alike_and_some_other_does_not() -> None:
    index = copied(dict.fromkeys("123", "a b c d e f g h"))
    assert split(index, seed=3) == split(index, seed=3)
    assert len({split(index, seed=seed).hash for seed in range(4)}) > 1


def test_texts_on_one_page_stay_together() -> None:
    index = copied({"1": "a+b c d e", "2": "b c d+e f"})
    subset_of = {text: subset for subset, found in enumerate(texts(split(index))) for text in found}
    assert subset_of["a"] == subset_of["b"]
    assert subset_of["d"] == subset_of["e"]


def test_one_text_that_all_copied_is_refused_with_the_way_out() -> None:
    with pytest.raises(SplitError, match=r"writer '1' has 1 text that can be parted, needs 3.*copied the same text"):
        split(copied({"1": "a a a", "2": "a a a"}))


def test_writers_with_too_few_texts_can_be_excluded() -> None:
    index = copied({"1": "a b c", "2": "a b c", "3": "a a a"})
    with pytest.raises(SplitError, match=r"too_few_pages: leave_out"):
        split(index)
    manifest = split(index, too_few_pages="leave_out")
    assert manifest.writer_ids == ("1", "2")
    assert [writer.writer_id for writer in manifest.excluded_writers] == ["3"]


def test_texts_that_cannot_be_dealt_are_refused() -> None:
    # a, b and c must be in three subsets, and so must each pair of them with d: impossible.
    index = copied({"1": "a b c", "2": "a b d", "3": "c d a"})
    with pytest.raises(SplitError, match=r"cannot be dealt so: too many writers share them \(4 texts"):
        split(index)


def test_unknown_texts_are_refused() -> None:
    index = copied({"1": "a b c", "2": "a b c"})
    first = dataclasses.replace(index.images[0], text_id=None)
    with pytest.raises(SplitError, match=r"of 1 of 6 images of 'copied' it is not known, such as 1-0-a"):
        split(dataclasses.replace(index, images=(first, *index.images[1:])))


def test_what_cannot_be_read_is_in_no_part() -> None:
    index = copied(dict.fromkeys("12", "a b c d"))
    manifest = split(index, unusable=("1-0-a",))
    assert not any("1-0-a" in manifest.image_ids(subset) for subset in SUBSETS)
