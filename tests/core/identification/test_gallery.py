from pathlib import Path

import numpy as np
import pytest

from core.errors import RegistryError
from core.identification.gallery import Gallery, choose_gallery


def unit(*angles_deg: float) -> np.ndarray:
    radians = np.radians(angles_deg)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def gallery(per_writer: int) -> Gallery:
    points = unit(0, 10, 20, 30, 90, 200, 200)
    pixels = np.arange(7, dtype=np.uint8)[:, None, None] * np.ones((7, 4, 4), np.uint8)
    classes = np.array([0, 0, 0, 0, 0, 1, 1])
    return choose_gallery(pixels, classes, points, [f"i{n}" for n in range(7)], per_writer)


def test_each_writer_has_patches_that_differ_most() -> None:
    chosen = gallery(3)
    own = [image for image, label in zip(chosen.image_ids, chosen.classes, strict=True) if label == 0]
    assert own[0] in ("i2", "i3"), "the middle one comes first"
    assert own[1:] == ["i4", "i0"], "then the farthest of what is left"


def test_equal_patches_are_shown_once() -> None:
    assert [image for image in gallery(5).image_ids if image in ("i5", "i6")] == ["i5"]


def test_the_nearest_patch_is_one_of_the_asked_writer() -> None:
    chosen = gallery(5)
    number, cosine = chosen.nearest(unit(195)[0], writer=0)
    assert chosen.image_ids[number] == "i4"
    assert cosine == pytest.approx(np.cos(np.radians(105)), abs=1e-5)


def test_a_gallery_comes_back_from_disk_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gallery.npz"
    kept = gallery(2)
    kept.save(path)
    found = Gallery.load(path)
    assert found.image_ids == kept.image_ids
    for name in ("pixels", "classes", "embeddings"):
        np.testing.assert_array_equal(getattr(found, name), getattr(kept, name))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RegistryError, match=r"gallery\.npz cannot be read .* Promote the model again"):
        Gallery.load(path)
