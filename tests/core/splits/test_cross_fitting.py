from collections import Counter
from pathlib import Path

import pytest

from core.corpora.index import TextImage
from core.errors import SplitError
from core.splits.cross_fitting import all_but_test, cross_fits
from core.splits.manifest import SplitManifest

N_PAGES = {"a": 1, "b": 2, "c": 2, "d": 2, "e": 3, "f": 7}


def made(n_pages: dict[str, int], n_lines: int = 2) -> tuple[SplitManifest, tuple[TextImage, ...]]:
    """Each writer has so many pages for training and validation, and one that is sealed."""
    images = tuple(
        TextImage(f"{writer}-{page}-{line}", Path("none.png"), writer, page_id=f"{writer}-{page}")
        for writer, n in n_pages.items()
        for page in range(n + 1)
        for line in range(n_lines)
    )

    def ids(pages: set[str]) -> tuple[str, ...]:
        return tuple(image.image_id for image in images if image.group_id in pages)

    manifest = SplitManifest(
        "made",
        "page",
        tuple(n_pages),
        train=ids({f"{writer}-{page}" for writer, n in n_pages.items() for page in range(max(1, n - 1))}),
        validation=ids({f"{writer}-{n - 1}" for writer, n in n_pages.items() if n > 1}),
        test=ids({f"{writer}-{n}" for writer, n in n_pages.items()}),
        settings={"seed": 0},
    )
    return manifest, images


def pages_of(images: tuple[str, ...]) -> set[str]:
    return {image.rsplit("-", 1)[0] for image in images}


def test_every_page_is_held_out_once_but_a_writers_only_one_and_the_sealed_ones() -> None:
    manifest, images = made(N_PAGES)
    folds = cross_fits(manifest, images)
    held_out = Counter(page for fold in folds for page in pages_of(fold.validation))
    expected = {f"{writer}-{page}" for writer, n in N_PAGES.items() if n > 1 for page in range(n)}
    assert held_out == dict.fromkeys(expected, 1)
    for fold in folds:
        assert pages_of(fold.train).isdisjoint(pages_of(fold.validation))
        assert {*fold.train, *fold.validation} == {*manifest.train, *manifest.validation}
        assert (fold.test, fold.test_hash) == (manifest.test, manifest.test_hash)


def test_each_writer_is_in_as_many_folds_as_pages_and_trained_on_in_all() -> None:
    folds = cross_fits(*made(N_PAGES))
    writers = Counter(writer for fold in folds for writer in {page[0] for page in pages_of(fold.validation)})
    assert writers == {writer: min(3, n) for writer, n in N_PAGES.items() if n > 1}
    assert all({page[0] for page in pages_of(fold.train)} == set(N_PAGES) for fold in folds)


def test_folds_are_equally_large_also_where_everybody_has_two_pages() -> None:
    folds = cross_fits(*made({str(number): 2 for number in range(12)}))
    assert [len(pages_of(fold.validation)) for fold in folds] == [8, 8, 8]


def test_the_same_pages_are_dealt_alike_and_each_fold_is_a_division_of_its_own(tmp_path: Path) -> None:
    first, second = (cross_fits(*made(N_PAGES)) for _ in range(2))
    assert [fold.hash for fold in first] == [fold.hash for fold in second]
    assert len({fold.hash for fold in first}) == 3
    first[1].save(tmp_path / "split.json")
    assert SplitManifest.load(tmp_path / "split.json") == first[1]


def test_a_fold_that_would_hold_out_nothing_is_left_out() -> None:
    folds = cross_fits(*made({"a": 2, "b": 1}))
    assert [fold.settings["cross_fit"] for fold in folds] == [{"fold": 1, "n": 2}, {"fold": 2, "n": 2}]


def test_nobody_with_two_pages_cannot_be_cross_fitted() -> None:
    with pytest.raises(SplitError, match=r"each of the 2 writers of 'made' has one .* `promotion\.refit: train`"):
        cross_fits(*made({"a": 1, "b": 1}))


def test_all_but_the_test_pages_train_in_the_order_of_the_corpus() -> None:
    manifest, images = made(N_PAGES)
    whole = all_but_test(manifest, images)
    assert whole.train == tuple(image.image_id for image in images if image.image_id not in manifest.test)
    assert (whole.validation, whole.test_hash) == ((), manifest.test_hash)
    assert whole.hash != manifest.hash
