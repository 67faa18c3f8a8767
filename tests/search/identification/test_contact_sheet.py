"""Query and finds side by side: which patches are shown, and that the file needs nothing else."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.pages.frames import Page
from core.patches.plan import PatchPlan
from core.retrieval.adaptation import Adaptation
from core.retrieval.descriptor_index import DescriptorIndex
from search.identification.contact_sheet import decisive_pairs, mean_descriptor, write_contact_sheet
from search.identification.page_index import AlikePage, extend_index, find_alike
from search.identification.page_reader import PageReader, SeenPage
from tests.search.toy_model import save_toy_model, write_line


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> PageReader:
    return PageReader.load(save_toy_model(tmp_path_factory.mktemp("toy") / "model"), per_page=6)


def _seen(embeddings: np.ndarray, lefts: list[int]) -> SeenPage:
    n = len(embeddings)
    zeros = np.zeros(n, np.int32)
    plan = PatchPlan(zeros, zeros, np.array(lefts, np.int32), zeros, size_px=100)
    embeddings = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    mean = embeddings.mean(axis=0)
    pixels = np.zeros((n, 100, 100), np.uint8)
    descriptor = (mean / np.linalg.norm(mean)).astype(np.float32)
    return SeenPage(np.zeros((100, 900), np.uint8), plan, np.zeros((n, 4, 2)), pixels, embeddings, descriptor)


def test_patches_that_all_pages_have_decide_nothing_and_rare_ones_that_both_have_do() -> None:
    everywhere, rare, other = np.eye(3)
    first = _seen(np.stack([everywhere, everywhere, rare]), [0, 200, 400])
    second = _seen(np.stack([everywhere, rare, other]), [0, 200, 400])
    (pair, *_) = decisive_pairs(first, second, everywhere, 4)
    assert (pair.first, pair.second) == (2, 1)
    assert pair.cosine == pytest.approx(1)


def test_the_pairs_of_two_pages_sum_to_their_similarity() -> None:
    generator = np.random.default_rng(0)
    first, second = (_seen(generator.random((5, 4)), [0] * 5) for _ in range(2))
    lengths = [np.linalg.norm(page.embeddings.mean(axis=0)) for page in (first, second)]
    pairs = (first.embeddings / lengths[0]) @ (second.embeddings / lengths[1]).T
    assert pairs.mean() == pytest.approx(float(first.descriptor @ second.descriptor))


def test_no_place_of_a_page_is_shown_twice() -> None:
    rare = np.stack([np.array([1.0, 0.1 * number, 0]) for number in range(4)])
    first, second = _seen(rare, [0, 10, 20, 300]), _seen(rare, [0, 200, 210, 400])
    pairs = decisive_pairs(first, second, np.array([0, 0, 1.0]), 4)
    assert len(pairs) == 2, "the first three patches of the first page are one place"
    assert len({pair.second for pair in pairs}) == 2


def test_what_counts_for_less_when_pages_are_found_counts_for_less_in_the_pairs() -> None:
    scanner = np.array([1.0, 0, 0])
    first = _seen(np.stack([scanner, np.array([0, 0.6, 0.8])]), [0, 200])
    second = _seen(np.stack([np.array([0, 0.8, 0.6]), scanner]), [0, 200])
    nothing = np.zeros(3)
    plain, *_ = decisive_pairs(first, second, nothing, 4)
    adapted, *_ = decisive_pairs(first, second, nothing, 4, Adaptation(np.diag([0.1, 1, 1])))
    assert (plain.first, plain.second) == (0, 1)
    assert (adapted.first, adapted.second) == (1, 0)


def test_patches_with_hardly_any_ink_are_not_shown() -> None:
    rare = np.stack([np.array([1.0, 0.1 * number, 0]) for number in range(3)])
    first, second = _seen(rare, [0, 200, 400]), _seen(rare, [0, 200, 400])
    first.pixels[1] = 200
    shown = {pair.first for pair in decisive_pairs(first, second, np.array([0, 0, 1.0]), 9)}
    assert shown == {0, 2}


def test_the_file_holds_every_picture_it_shows(reader: PageReader, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    files = [write_line(tmp_path / "archive" / f"a <b> {n}.png", n) for n in (5, 7, 9)]
    Image.open(files[0]).save(tmp_path / "archive" / "two.tif", save_all=True, append_images=[Image.open(files[1])])
    extend_index(tmp_path / "index", [*files, tmp_path / "archive" / "two.tif"], reader)
    index = DescriptorIndex.open(tmp_path / "index")
    np.testing.assert_allclose(mean_descriptor(index), index.descriptors().mean(axis=0), atol=1e-6)
    found = find_alike(index, Page(files[0]), reader, 10)
    files[2].unlink()
    path = write_contact_sheet(Page(files[0]), found, index, reader, "model & co", tmp_path / "out" / "sheet.html")
    html = path.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", html), "nothing is fetched from elsewhere"
    assert html.count("<article>") == len(found) == 4
    assert html.count('href="#query"') == 3, "the one that is gone has no picture"
    assert "Its file is not there any more." in html
    assert "a &lt;b&gt; 5.png" in html
    assert "<b>" not in html
    assert "two.tif#2" in html
    for image in re.findall("<img[^>]*>", html):
        assert 'alt="patch' in image
    for picture in re.findall(r"<svg viewBox[^>]*>", html):
        assert "aria-label=" in picture


def test_a_page_of_a_file_with_several_is_known_by_its_number(tmp_path: Path) -> None:
    named = tmp_path / "letter#3.png"
    named.touch()
    assert AlikePage(str(named), 0.5).page == Page(named)
    assert AlikePage("scans/letter.tif#12", 0.5).page == Page(Path("scans/letter.tif"), 12)
    assert AlikePage("scans/letter#a.png", 0.5).page == Page(Path("scans/letter#a.png"))
