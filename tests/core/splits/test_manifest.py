import dataclasses
import json
from pathlib import Path

import pytest

from core.corpora.index import Choice, CorpusIndex, ExcludedPage, ExcludedWriter, TextImage
from core.errors import SplitError
from core.splits.manifest import SplitManifest


@pytest.fixture
def manifest() -> SplitManifest:
    return SplitManifest(
        corpus="made",
        unit="page",
        writer_ids=("a", "ü"),
        train=("a1", "ü1"),
        validation=("a2", "ü2"),
        test=("a3", "ü3"),
        excluded_writers=(ExcludedWriter("c", 1, "has 1, needs 3"),),
        settings={"seed": 0},
    )


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def test_a_saved_manifest_is_read_back_equal(manifest: SplitManifest, tmp_path: Path) -> None:
    manifest.save(tmp_path / "new" / "split.json")
    loaded = SplitManifest.load(tmp_path / "new" / "split.json")
    assert loaded == manifest
    assert loaded.hash == manifest.hash
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["split.json"]


def test_the_choice_of_writers_stands_in_the_file(manifest: SplitManifest, tmp_path: Path) -> None:
    choice = Choice("The 2 with most.", (ExcludedWriter("d", 4, "has 4"),), (ExcludedPage("p", "a", "is blotted"),))
    chosen = dataclasses.replace(manifest, choice=choice)
    chosen.save(tmp_path / "split.json")
    assert SplitManifest.load(tmp_path / "split.json") == chosen
    assert json.loads((tmp_path / "split.json").read_text(encoding="utf-8"))["choice"]["rule"] == "The 2 with most."
    assert chosen.hash != manifest.hash


def test_a_manifest_without_a_choice_has_the_hash_that_it_always_had(manifest: SplitManifest) -> None:
    assert manifest.hash == "bea35f1f5be33e21657dd51ca520227cd8549adb364a4aa1c4ee5851995bb4c3"


def test_the_file_can_be_read_by_people(manifest: SplitManifest, tmp_path: Path) -> None:
    manifest.save(tmp_path / "split.json")
    text = (tmp_path / "split.json").read_text(encoding="utf-8")
    assert '"ü1"' in text
    assert json.loads(text)["n_images"] == {"train": 2, "validation": 2, "test": 2}


def test_an_image_in_two_subsets_is_refused(manifest: SplitManifest) -> None:
    with pytest.raises(SplitError, match="'a1' is in train and in test"):
        dataclasses.replace(manifest, test=("a3", "a1"))


def test_an_edited_manifest_with_overlap_is_refused(manifest: SplitManifest, tmp_path: Path) -> None:
    manifest.save(tmp_path / "split.json")
    edit(tmp_path / "split.json", validation=["a2", "a1"])
    with pytest.raises(SplitError, match=r"split\.json.*'a1' is in train and in validation"):
        SplitManifest.load(tmp_path / "split.json")


def test_an_edited_manifest_without_overlap_is_refused_too(manifest: SplitManifest, tmp_path: Path) -> None:
    manifest.save(tmp_path / "split.json")
    edit(tmp_path / "split.json", train=["a1"])
    with pytest.raises(SplitError, match="must not be edited"):
        SplitManifest.load(tmp_path / "split.json")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"corpus": 1}', "\x00"])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(SplitError, match=r"split\.json must be a split manifest"):
        SplitManifest.load(tmp_path / "split.json")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"gone\.json"):
        SplitManifest.load(tmp_path / "gone.json")


def test_the_hash_follows_the_content(manifest: SplitManifest) -> None:
    assert dataclasses.replace(manifest, train=("ü1", "a1")).hash != manifest.hash
    assert dataclasses.replace(manifest, settings={"seed": 1}).hash != manifest.hash


def test_the_test_hash_follows_the_set_of_test_images_only(manifest: SplitManifest) -> None:
    other = dataclasses.replace(manifest, test=("ü3", "a3"), train=("a1",), settings={"seed": 1})
    assert other.test_hash == manifest.test_hash
    assert dataclasses.replace(manifest, test=("a3",)).test_hash != manifest.test_hash
    assert dataclasses.replace(manifest, corpus="other").test_hash != manifest.test_hash


def corpus_of(manifest: SplitManifest, page_of: dict[str, str]) -> CorpusIndex:
    ids = manifest.train + manifest.validation + manifest.test
    images = (TextImage(name, Path("none.png"), name[0], page_id=page_of.get(name, name)) for name in ids)
    return CorpusIndex("made", Path(), tuple(images))


def test_a_corpus_whose_page_lies_in_two_subsets_does_not_fit(manifest: SplitManifest) -> None:
    manifest.check_fits(corpus_of(manifest, {}))
    with pytest.raises(SplitError, match="'p' is in train and in test"):
        manifest.check_fits(corpus_of(manifest, {"a1": "p", "a3": "p"}))


def test_a_corpus_that_lost_images_does_not_fit(manifest: SplitManifest) -> None:
    index = corpus_of(manifest, {})
    with pytest.raises(SplitError, match=r"1 of its train images are not in 'made'.*'a1'"):
        manifest.check_fits(dataclasses.replace(index, images=index.images[1:]))
