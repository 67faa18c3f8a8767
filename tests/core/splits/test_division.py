import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.corpora.index import CorpusIndex
from core.errors import SplitError
from core.splits.division import divide
from core.splits.manifest import SUBSETS, SplitManifest
from core.splits.settings import SplitSettings
from tests.core.splits.test_by_page import corpus, official, subsets_of_pages


def split(index: CorpusIndex, unusable: tuple[str, ...] = (), **settings: Any) -> SplitManifest:
    return divide(index, SplitSettings.model_validate(settings), unusable)


def pages(ids: tuple[str, ...]) -> set[str]:
    """The pages of images of `corpus`."""
    return {image_id.rsplit("-", 1)[0] for image_id in ids}


class TestFolds:
    def test_every_page_that_is_not_sealed_is_held_out_once(self) -> None:
        index = corpus({"a": 7, "b": 9})
        folds = [split(index, folds={"n": 4, "fold": fold}) for fold in (1, 2, 3, 4)]
        held_out = Counter(page for fold in folds for page in pages(fold.validation))
        assert set(held_out.values()) == {1}
        assert held_out.keys() == pages(folds[0].train) | pages(folds[0].validation)

    def test_the_test_pages_are_those_of_the_plain_split_in_every_rotation(self) -> None:
        index = corpus({"a": 7, "b": 9})
        plain = split(index)
        folds = [split(index, folds={"n": 4, "fold": fold}) for fold in (1, 2, 3, 4)]
        assert {fold.test_hash for fold in folds} == {plain.test_hash}
        assert len({fold.hash for fold in folds}) == 4
        assert folds[1].divided_by == "page (fold 2 of 4)"

    def test_no_page_is_in_two_subsets_and_every_writer_in_all(self) -> None:
        index = corpus({"a": 7, "b": 9})
        manifest = split(index, folds={"n": 3, "fold": 2})
        assert all(len(subsets) == 1 for subsets in subsets_of_pages(index, manifest).values())
        for subset in SUBSETS:
            assert {image_id[0] for image_id in manifest.image_ids(subset)} == {"a", "b"}

    def test_leaving_one_page_out_rotates_over_all_pages(self) -> None:
        index = corpus({"a": 4, "b": 4})
        rotations = [split(index, test=0.0, folds={"n": "pages", "fold": fold}) for fold in (1, 2, 3, 4)]
        assert [len(pages(rotation.validation)) for rotation in rotations] == [2, 2, 2, 2]
        assert set().union(*(pages(rotation.validation) for rotation in rotations)) == pages(
            tuple(image.image_id for image in index.images)
        )

    def test_a_writer_with_fewer_pages_begins_anew(self) -> None:
        rotation = split(corpus({"a": 2, "b": 5}), test=0.0, folds={"n": "pages", "fold": 5})
        assert {page[0] for page in pages(rotation.validation)} == {"a", "b"}

    def test_a_rotation_that_no_writer_has_is_refused(self) -> None:
        with pytest.raises(SplitError, match=r"got 6, and no writer has more than 5 pages"):
            split(corpus({"a": 2, "b": 5}), test=0.0, folds={"n": "pages", "fold": 6})

    def test_a_writer_with_fewer_pages_than_folds_is_refused(self) -> None:
        with pytest.raises(SplitError, match="'a' has 5, needs 6"):
            split(corpus({"a": 5, "b": 9}), folds={"n": 5})

    def test_the_official_train_subset_is_what_rotates(self) -> None:
        index = official(("a", 6, "train"), ("a", 2, "test"), ("b", 6, "train"), ("b", 1, "test"))
        manifest = split(index, folds={"n": 3, "fold": 1})
        assert (len(manifest.train), len(manifest.validation), len(manifest.test)) == (8, 4, 3)


class TestLists:
    INDEX = corpus({"a": 4, "b": 3, "c": 2}, n_lines=2)

    def test_images_go_where_the_lists_say(self, tmp_path: Path) -> None:
        for name, text in {"train": "a-0\nb-0-0\nb-0-1\n", "validation": "a-1\nb-1\n", "test": "a-2\nb-2\n"}.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        manifest = split(self.INDEX, lists={name: tmp_path / name for name in SUBSETS})
        assert manifest.train == ("a-0-0", "a-0-1", "b-0-0", "b-0-1")
        assert pages(manifest.validation) == {"a-1", "b-1"}
        assert pages(manifest.test) == {"a-2", "b-2"}
        assert manifest.writer_ids == ("a", "b")
        assert manifest.settings["lists"]["train"] == str(tmp_path / "train")
        assert manifest.divided_by == "page (lists)"

    def test_without_a_validation_list_it_is_dealt_out_of_the_training_list(self) -> None:
        manifest = split(self.INDEX, lists={"train": ["a-0", "a-1", "a-3", "b-0", "b-1"], "test": ["a-2", "b-2"]})
        assert len(pages(manifest.validation)) == 2
        assert pages(manifest.train) | pages(manifest.validation) == {"a-0", "a-1", "a-3", "b-0", "b-1"}

    def test_without_a_test_list_nothing_is_sealed(self) -> None:
        assert split(self.INDEX, lists={"train": ["a-0", "b-0"], "validation": ["a-1", "b-1"]}).test == ()

    def test_an_unknown_id_is_refused_with_the_nearest(self) -> None:
        with pytest.raises(SplitError, match=r"split\.lists\.train must name pages or images .* 'a-9' \(the nearest"):
            split(self.INDEX, lists={"train": ["a-9"]})

    def test_a_missing_list_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SplitError, match=r"split\.lists\.test: the list .*gone\.txt is not there"):
            split(self.INDEX, lists={"train": ["a-0"], "test": tmp_path / "gone.txt"})

    def test_an_id_in_two_lists_is_refused(self) -> None:
        with pytest.raises(SplitError, match=r"'a-0-0' is named by 'a-0' in split\.lists\.train and by 'a-0-0' in"):
            split(self.INDEX, lists={"train": ["a-0", "b-0"], "validation": ["a-0-0", "b-1"]})

    def test_a_page_and_its_image_in_one_list_are_refused(self) -> None:
        with pytest.raises(SplitError, match="named once in all lists together"):
            split(self.INDEX, lists={"train": ["a-0", "a-0-1"]})

    def test_a_page_in_two_subsets_is_refused(self) -> None:
        with pytest.raises(SplitError, match=r"images of 'a-0' in train and in validation.*split\.leaky"):
            split(self.INDEX, lists={"train": ["a-0-0", "b-0"], "validation": ["a-0-1", "b-1"]})

    def test_a_writer_whom_training_lacks_is_refused(self) -> None:
        lists = {"train": ["a-0", "b-0"], "validation": ["a-1", "b-1", "c-0"]}
        with pytest.raises(SplitError, match=r"'c' has nothing in train.*too_few_pages: leave_out"):
            split(self.INDEX, lists=lists)
        manifest = split(self.INDEX, lists=lists, too_few_pages="leave_out")
        assert [(writer.writer_id, writer.reason) for writer in manifest.excluded_writers] == [
            ("c", "has nothing in train")
        ]
        assert pages(manifest.validation) == {"a-1", "b-1"}

    def test_an_image_that_cannot_be_read_is_in_no_part(self) -> None:
        lists = {"train": ["a-0", "b-0"], "validation": ["a-1", "b-1"]}
        assert "a-0-0" not in split(self.INDEX, ("a-0-0",), lists=lists).train

    def test_a_writer_with_too_few_pages_for_validation_is_told(self) -> None:
        manifest = split(self.INDEX, lists={"train": ["a-0", "a-1", "b-0", "b-1", "c-0"]}, too_few_pages="leave_out")
        assert [writer.writer_id for writer in manifest.excluded_writers] == ["c"]


class TestWriters:
    def test_no_writer_is_in_two_subsets(self) -> None:
        manifest = split(corpus({f"w{k}": 2 for k in range(10)}), kind="writer")
        writers = [{image_id.split("-")[0] for image_id in manifest.image_ids(subset)} for subset in SUBSETS]
        assert [len(subset) for subset in writers] == [6, 2, 2]
        assert len(set().union(*writers)) == 10
        assert set(manifest.writer_ids) == writers[0]
        assert manifest.divided_by == "writer"

    def test_another_seed_deals_otherwise(self) -> None:
        index = corpus({f"w{k}": 2 for k in range(10)})
        assert split(index, kind="writer", seed=1).hash != split(index, kind="writer").hash
        assert split(index, kind="writer", seed=1) == split(index, kind="writer", seed=1)

    def test_too_few_writers_are_refused(self) -> None:
        with pytest.raises(SplitError, match="needs two writers to train on, but of 3"):
            split(corpus({"a": 2, "b": 2, "c": 2}), kind="writer")


class TestLeaky:
    @pytest.mark.parametrize("by", ["line", "patch"])
    def test_the_test_pages_stay_sealed_and_the_others_are_poured_together(self, by: str) -> None:
        index = corpus({"a": 5, "b": 5})
        honest, leaky = split(index), split(index, leaky=by)
        assert leaky.test_hash == honest.test_hash
        assert set(leaky.train) == set(leaky.validation) == {*honest.train, *honest.validation}
        assert leaky.hash != honest.hash
        leaky.check_fits(index)

    def test_the_manifest_says_so(self, tmp_path: Path) -> None:
        manifest = split(corpus({"a": 5, "b": 5}), leaky="patch")
        assert manifest.divided_by == "patch (leaky)"
        assert "The scores say nothing about new pages" in manifest.warning
        manifest.save(tmp_path / "split.json")
        assert manifest.warning in (tmp_path / "split.json").read_text(encoding="utf-8")
        assert SplitManifest.load(tmp_path / "split.json") == manifest

    def test_an_honest_manifest_has_no_warning(self) -> None:
        manifest = split(corpus({"a": 5, "b": 5}))
        assert (manifest.warning, manifest.divided_by, manifest.leak("train")) == ("", "page", None)

    def test_a_test_image_among_the_others_is_refused_as_ever(self) -> None:
        manifest = split(corpus({"a": 5, "b": 5}), leaky="line")
        with pytest.raises(SplitError, match="in train and in test"):
            dataclasses.replace(manifest, test=manifest.train[:1])

    def test_other_images_in_validation_are_refused(self) -> None:
        manifest = split(corpus({"a": 5, "b": 5}), leaky="line")
        with pytest.raises(SplitError, match="has others in validation"):
            dataclasses.replace(manifest, validation=manifest.validation[:1])
