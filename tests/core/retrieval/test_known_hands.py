from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.errors import RegistryError, RetrievalError
from core.patches.plan import PatchPlan
from core.retrieval.descriptors import describe_patches
from core.retrieval.known_hands import AMOUNTS, CrossFittedPages, Hands, PagesByInk, average_hands, describe_page
from core.retrieval.page_embeddings import PlacedPage
from core.retrieval.register import EnrolledPage, Register
from tests.core.retrieval.described_hands import N_DIMENSIONS, describe_hands


def embedded(n: int, step_px: int) -> PlacedPage:
    """A line of patches of side 100, so far apart."""
    points = np.random.default_rng(n).normal(size=(n, 8)).astype(np.float32)
    places = (np.zeros(n, np.int32), np.zeros(n, np.int32), np.arange(n, dtype=np.int32) * step_px)
    plan = PatchPlan(*places, np.full(n, -1, np.int32), 100)
    return PlacedPage("page", "anna", points / np.linalg.norm(points, axis=1, keepdims=True), plan)


def test_ink_is_counted_in_patches_that_show_different_places() -> None:
    assert describe_page(embedded(20, 100)).n_patches == 20
    assert describe_page(embedded(20, 25)).n_patches == 10
    assert describe_page(embedded(20, 0)).n_patches == 1


def test_a_page_is_described_whole_as_it_is_when_it_is_looked_for_and_by_as_much_as_it_has() -> None:
    page = embedded(20, 50)
    found = describe_page(page)
    np.testing.assert_allclose(found.descriptor, describe_patches(page.embeddings), atol=1e-6)
    assert len(found.by_amount) == 3, "it has ink for 4, 8 and 16 patches"
    np.testing.assert_allclose(found.by_amount[1], describe_patches(page.embeddings[:8]), atol=1e-6)
    assert found.level == 2
    assert describe_page(embedded(3, 100)).level is None


def test_pages_come_by_an_amount_that_they_have() -> None:
    pages = PagesByInk.of(describe_hands(4, 2, seed=0, n_patches=(64, 20)), N_DIMENSIONS)
    rows, writers = pages.at(AMOUNTS.index(16))
    assert (len(rows), len(writers)) == (8, 8)
    rows, writers = pages.at(AMOUNTS.index(24))
    assert writers == tuple(f"0-{number}" for number in range(4))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    assert len(pages.at(0, AMOUNTS.index(24))[0]) == 4
    assert len(pages.fullest()[0]) == 8
    assert pages.without(["0-1", "0-2"]).n_writers == 2


def test_what_a_model_takes_along_is_read_as_it_was_written(tmp_path: Path) -> None:
    pages = describe_hands(3, 2, seed=0)
    names = ["0-0", "0-1", "0-2"]
    kept = PagesByInk.of(pages, N_DIMENSIONS)
    nobody = PagesByInk.of([], N_DIMENSIONS)
    hands = Hands(average_hands(pages, names), np.full(3, 2), np.full(3, 128), kept, nobody, "nobody", 0.05, 0.5)
    hands.save(tmp_path / "hands.npz")
    found = Hands.load(tmp_path / "hands.npz")
    np.testing.assert_array_equal(found.centres, hands.centres)
    np.testing.assert_array_equal(found.validation.by_amount, kept.by_amount)
    assert (found.validation.writers, found.set_aside.writers) == (kept.writers, ())
    assert (found.set_aside_from, found.false_accept_rate) == ("nobody", 0.05)
    assert found.cross_fitted == (), "as in models of earlier versions"
    folds = (CrossFittedPages(hands.centres, kept), CrossFittedPages(hands.centres[::-1], nobody))
    replace(hands, cross_fitted=folds).save(tmp_path / "hands.npz")
    again = Hands.load(tmp_path / "hands.npz").cross_fitted
    assert [fold.pages.writers for fold in again] == [kept.writers, ()]
    np.testing.assert_array_equal(again[1].centres, hands.centres[::-1])
    kept.save(tmp_path / "pages.npz")
    assert PagesByInk.load(tmp_path / "pages.npz").writers == kept.writers


@pytest.mark.parametrize("damage", ["empty", "torn", "cut", "spoilt", "another kind"])
def test_a_damaged_file_is_told(tmp_path: Path, damage: str) -> None:
    def damaged(name: str, whole: bytes) -> Path:
        spoilt = whole[:200] + bytes(byte ^ 0x55 for byte in whole[200:260]) + whole[260:]
        changes = {"empty": b"", "torn": b"torn", "cut": whole[: len(whole) // 2], "spoilt": spoilt}
        (tmp_path / name).write_bytes(changes.get(damage, b'{"a": 1}'))
        return tmp_path / name

    pages = describe_hands(3, 2, seed=0)
    kept, path = PagesByInk.of(pages, N_DIMENSIONS), tmp_path / "whole.npz"
    kept.save(path)
    with pytest.raises(RetrievalError, match="cannot be read"):
        PagesByInk.load(damaged("pages.npz", path.read_bytes()))
    Hands(average_hands(pages, ["0-0"]), np.full(1, 2), np.full(1, 128), kept, kept, "nobody", 0.05, 0.5).save(path)
    with pytest.raises(RegistryError, match="Promote the model again"):
        Hands.load(damaged("hands.npz", path.read_bytes()))
    Register("model", (), np.empty((0, 3), np.float32)).save(path)
    with pytest.raises(RegistryError, match="Enrol again"):
        Register.load(damaged("register.npz", path.read_bytes()))


def test_a_register_counts_a_page_once_and_forgets_a_writer(tmp_path: Path) -> None:
    def page(writer: str, name: str) -> EnrolledPage:
        return EnrolledPage(writer, name, "ab", 8, 0)

    points = np.eye(3, dtype=np.float32)
    register = Register("model", (), np.empty((0, 3), np.float32))
    register = register.with_pages([page("anna", "a.png"), page("berta", "b.png")], points[:2])
    register = register.with_pages([page("anna", "a.png"), page("anna", "c.png")], points[[2, 1]])
    assert register.writer_ids == ("berta", "anna")
    np.testing.assert_allclose(register.centres[1], [0, 0.5**0.5, 0.5**0.5], atol=1e-6)
    register.save(tmp_path / "register.npz")
    found = Register.load(tmp_path / "register.npz").without(["berta"])
    assert found.pages == register.pages_of("anna")
    assert found.without(["anna"]).centres.shape == (0, 3)
