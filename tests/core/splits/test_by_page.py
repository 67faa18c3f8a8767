import dataclasses
from collections import defaultdict
from pathlib import Path

import pytest

from core.corpora.dhsd import DhsdCorpus
from core.corpora.index import CorpusIndex, OfficialSplit, TextImage
from core.corpora.settings import DhsdSettings
from core.errors import ConfigError, SplitError
from core.splits.by_page import split_pages
from core.splits.manifest import SUBSETS, SplitManifest
from core.splits.settings import SplitSettings


def corpus(pages_of_writer: dict[str, int], n_lines: int = 3) -> CorpusIndex:
    """A corpus of so many pages for each writer; the split opens no file."""
    images = tuple(
        TextImage(f"{writer}-{page}-{line}", Path("none.png"), writer, page_id=f"{writer}-{page}")
        for writer, n_pages in pages_of_writer.items()
        for page in range(n_pages)
        for line in range(n_lines)
    )
    return CorpusIndex("made", Path(), images)


def official(*rows: tuple[str, int, OfficialSplit | None]) -> CorpusIndex:
    """(writer, number of images, subset) rows of a corpus without pages."""
    images = tuple(
        TextImage(f"{writer}-{subset}-{number}", Path("none.png"), writer, official_split=subset)
        for writer, n_images, subset in rows
        for number in range(n_images)
    )
    return CorpusIndex("made", Path(), images)


def subsets_of_pages(index: CorpusIndex, manifest: SplitManifest) -> dict[str, set[str]]:
    subset_of_image = {image_id: subset for subset in SUBSETS for image_id in manifest.image_ids(subset)}
    subsets: dict[str, set[str]] = defaultdict(set)
    for image in index.images:
        if image.image_id in subset_of_image:
            subsets[image.group_id].add(subset_of_image[image.image_id])
    return subsets


def test_no_page_is_in_two_splits() -> None:
    index = corpus({"a": 7, "b": 4, "c": 12})
    subsets = subsets_of_pages(index, split_pages(index, SplitSettings()))
    assert len(subsets) == 23
    assert all(len(in_subsets) == 1 for in_subsets in subsets.values())


def test_every_writer_has_pages_in_every_part() -> None:
    manifest = split_pages(corpus({"a": 3, "b": 4, "c": 12}), SplitSettings())
    for subset in SUBSETS:
        assert {image_id.split("-")[0] for image_id in manifest.image_ids(subset)} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("n_pages", "expected"), [(3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (6, 2, 2)), (21, (13, 4, 4))]
)
def test_the_shares_are_met_to_the_nearest_page(n_pages: int, expected: tuple[int, int, int]) -> None:
    manifest = split_pages(corpus({"a": n_pages, "b": 3}, n_lines=1), SplitSettings())
    assert tuple(sum(i.startswith("a") for i in manifest.image_ids(subset)) for subset in SUBSETS) == expected


@pytest.mark.parametrize("n_pages", range(3, 12))
def test_large_shares_leave_a_page_to_train_on(n_pages: int) -> None:
    manifest = split_pages(corpus({"a": n_pages, "b": 3}), SplitSettings(validation=0.5, test=0.45))
    assert all(any(i.startswith("a") for i in manifest.image_ids(subset)) for subset in SUBSETS)


def test_without_a_test_subset_two_pages_are_enough() -> None:
    manifest = split_pages(corpus({"a": 2, "b": 2}), SplitSettings(test=0.0))
    assert (len(manifest.train), len(manifest.validation), len(manifest.test)) == (6, 6, 0)


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    index = corpus({"a": 9, "b": 9})
    first = split_pages(index, SplitSettings(seed=1))
    assert split_pages(index, SplitSettings(seed=1)) == first
    assert split_pages(index, SplitSettings(seed=2)).hash != first.hash


def test_a_new_writer_moves_nobody_elses_pages() -> None:
    few = split_pages(corpus({"a": 9, "b": 9}), SplitSettings())
    many = split_pages(corpus({"0": 5, "a": 9, "ab": 20, "b": 9}), SplitSettings())
    for subset in SUBSETS:
        assert set(few.image_ids(subset)) <= set(many.image_ids(subset))


def test_the_order_of_the_corpus_does_not_matter_for_who_goes_where() -> None:
    index = corpus({"a": 9, "b": 9})
    turned = dataclasses.replace(index, images=index.images[::-1])
    assert split_pages(turned, SplitSettings()).test_hash == split_pages(index, SplitSettings()).test_hash


def test_writers_are_in_natural_order_as_the_classes_are() -> None:
    assert split_pages(corpus({"b": 3, "10": 3, "2": 3}), SplitSettings()).writer_ids == ("2", "10", "b")


def test_too_few_pages_are_refused_with_the_number_needed() -> None:
    with pytest.raises(SplitError, match=r"'b' has 2, needs 3.*split\.too_few_pages: leave_out"):
        split_pages(corpus({"a": 5, "b": 2, "c": 5}), SplitSettings())


def test_writers_with_too_few_pages_are_excluded_and_reported() -> None:
    manifest = split_pages(corpus({"a": 5, "b": 2, "c": 5}), SplitSettings(too_few_pages="leave_out"))
    assert manifest.writer_ids == ("a", "c")
    assert [(writer.writer_id, writer.n_pages) for writer in manifest.excluded_writers] == [("b", 2)]
    assert not any(image_id.startswith("b") for subset in SUBSETS for image_id in manifest.image_ids(subset))


def test_images_that_cannot_be_read_are_in_no_subset_and_empty_none() -> None:
    index = corpus({"a": 3, "b": 4, "c": 5}, n_lines=2)
    unusable = {"b-0-0", "b-0-1", "c-0-0"}
    manifest = split_pages(index, SplitSettings(), unusable)
    divided = [image_id for subset in SUBSETS for image_id in manifest.image_ids(subset)]
    assert sorted(divided) == sorted(image.image_id for image in index.images if image.image_id not in unusable)
    for subset in SUBSETS:
        assert {image_id.split("-")[0] for image_id in manifest.image_ids(subset)} == {"a", "b", "c"}


def test_a_writer_with_too_few_pages_because_one_cannot_be_read_is_excluded_and_no_error() -> None:
    index = corpus({"a": 3, "b": 4, "c": 5}, n_lines=1)
    manifest = split_pages(index, SplitSettings(), {"a-1-0"})
    assert manifest.writer_ids == ("b", "c")
    (left_out,) = manifest.excluded_writers
    assert (left_out.writer_id, left_out.reason) == ("a", "has 2, needs 3 (1 cannot be read)")
    with pytest.raises(SplitError, match=r"1 has too few pages: writer 'd' has 2, needs 3\. Add"):
        split_pages(corpus({"a": 3, "b": 4, "c": 5, "d": 2}, n_lines=1), SplitSettings(), {"a-1-0"})


def test_fewer_than_two_writers_with_enough_pages_are_refused() -> None:
    with pytest.raises(SplitError, match=r"two writers or more with enough pages, but there are 1"):
        split_pages(corpus({"a": 5, "b": 2}), SplitSettings(too_few_pages="leave_out"))


def test_a_page_with_two_writers_is_refused() -> None:
    index = corpus({"a": 3, "b": 3})
    stolen = dataclasses.replace(index.images[0], image_id="x", writer_id="b")
    with pytest.raises(SplitError, match=r"one writer, but page 'a-0'"):
        split_pages(dataclasses.replace(index, images=(*index.images, stolen)), SplitSettings())


def test_images_are_the_unit_where_there_are_no_pages() -> None:
    manifest = split_pages(official(("a", 5, None), ("b", 5, None)), SplitSettings())
    assert manifest.unit == "image"
    assert split_pages(corpus({"a": 3, "b": 3}), SplitSettings()).unit == "page"


def test_the_official_test_subset_is_the_test_subset() -> None:
    index = official(("a", 10, "train"), ("a", 3, "test"), ("b", 5, "train"), ("b", 1, "test"))
    manifest = split_pages(index, SplitSettings())
    assert set(manifest.test) == {image.image_id for image in index.images if image.official_split == "test"}
    assert (len(manifest.train), len(manifest.validation)) == (12, 3)


def test_the_official_division_can_be_ignored() -> None:
    index = official(("a", 10, "train"), ("a", 5, "test"), ("b", 10, "train"), ("b", 5, "test"))
    manifest = split_pages(index, SplitSettings(official="ignore"))
    assert any("train" in image_id for image_id in manifest.test)


def test_a_wanted_official_division_that_is_not_there_is_refused() -> None:
    with pytest.raises(SplitError, match=r"official: ignore"):
        split_pages(corpus({"a": 3, "b": 3}), SplitSettings(official="use"))


def test_an_official_division_of_some_images_only_is_refused() -> None:
    with pytest.raises(SplitError, match=r"2 have none"):
        split_pages(official(("a", 4, "train"), ("a", 2, None), ("b", 4, "train")), SplitSettings())


def test_a_writer_who_is_only_in_the_official_test_subset_is_refused() -> None:
    index = official(("a", 4, "train"), ("a", 2, "test"), ("b", 4, "test"))
    with pytest.raises(SplitError, match=r"'b' has 0 in the official train part, needs 2"):
        split_pages(index, SplitSettings())


def test_an_official_division_through_a_page_is_refused() -> None:
    index = official(("a", 4, "train"), ("a", 2, "test"), ("b", 4, "train"), ("b", 2, "test"))
    images = tuple(dataclasses.replace(image, page_id=image.writer_id) for image in index.images)
    with pytest.raises(SplitError, match=r"page 'a' in both"):
        split_pages(dataclasses.replace(index, images=images), SplitSettings())


def test_dhsd_keeps_its_official_test_words(dhsd_root: Path) -> None:
    index = DhsdCorpus(DhsdSettings(root=dhsd_root)).index()
    manifest = split_pages(index, SplitSettings())
    assert len(manifest.writer_ids) == 37
    assert [len(manifest.image_ids(subset)) for subset in SUBSETS] == [3801, 944, 1194]
    manifest.check_fits(index)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.0, 0.2), (0.2, -0.1), (1.0, 0.0)])
def test_impossible_shares_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ConfigError):
        SplitSettings(validation=shares[0], test=shares[1])
