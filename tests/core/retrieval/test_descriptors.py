import numpy as np
import pytest

from core.retrieval.descriptors import describe_pages, describe_patches


def test_a_page_is_the_mean_of_its_patches_of_length_1() -> None:
    patches = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], np.float32)
    found = describe_patches(patches)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.array([1, 2, 0]) / np.sqrt(5), rtol=1e-6)
    np.testing.assert_array_equal(describe_pages([patches, patches[:1]]), [found, patches[0]])
    assert describe_pages([]).shape == (0, 0)


@pytest.mark.parametrize("page", [np.zeros((0, 5)), np.zeros(5), np.full((2, 5), np.nan)])
def test_a_page_without_patches_or_with_other_than_numbers_is_refused(page: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"Embeddings must be finite|must have embeddings"):
        describe_patches(page)


def test_patches_that_cancel_out_are_zeros_not_errors() -> None:
    assert not describe_patches(np.array([[0.6, 0.8], [-0.6, -0.8]])).any()
