import numpy as np
import pytest

from benchmarks.page_descriptors import DescriptorSettings, PageDescriber
from core.errors import ConfigError, RetrievalError


def pages(n_pages: int = 20, n_patches: int = 9, n_features: int = 5, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    points = np.abs(generator.normal(size=(n_pages, n_patches, n_features)))
    return list((points / np.linalg.norm(points, axis=2, keepdims=True)).astype(np.float32))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def test_the_mean_is_that_of_the_patches_and_its_length_is_1() -> None:
    (page,) = pages(1)
    found = PageDescriber.fit(DescriptorSettings()).describe(page)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, unit(page.mean(axis=0)), rtol=1e-6)


def test_the_generalised_mean_lies_between_the_mean_and_the_maximum() -> None:
    (page,) = pages(1)

    def describe(exponent: float, of: np.ndarray = page) -> np.ndarray:
        return PageDescriber.fit(DescriptorSettings(pooling="generalised_mean", exponent=exponent)).describe(of)

    np.testing.assert_allclose(describe(1.0), unit(page.mean(axis=0)), rtol=1e-6)
    np.testing.assert_allclose(describe(3.0), unit((page**3).mean(axis=0) ** (1 / 3)), rtol=1e-5)
    np.testing.assert_allclose(describe(100.0), unit(page.max(axis=0)), atol=0.02)
    np.testing.assert_allclose(describe(3.0, -page), -describe(3.0), rtol=1e-6)


def test_vlad_sums_the_differences_to_the_nearest_centres() -> None:
    settings = DescriptorSettings(pooling="vlad", n_clusters=2)
    centres = np.array([[1.0, 0.0], [0.0, 1.0]])
    page = np.array([[0.8, 0.1], [0.9, 0.2], [0.3, 0.7]])
    expected = unit(np.array([-0.2 - 0.1, 0.1 + 0.2, 0.3, -0.3]))
    np.testing.assert_allclose(PageDescriber(settings, centres).describe(page), expected, rtol=1e-6)


def test_the_codebook_is_learned_on_training_pages_and_separates_what_they_separate() -> None:
    generator = np.random.default_rng(0)
    middles = np.eye(3)
    training = [middles + generator.normal(0, 0.01, (3, 3)) for _ in range(30)]
    describer = PageDescriber.fit(DescriptorSettings(pooling="vlad", n_clusters=3), training)
    shifted = describer.describe(middles + 0.05).reshape(3, 3)
    np.testing.assert_allclose(shifted, np.full((3, 3), 1 / 3), atol=0.1)
    again = PageDescriber.fit(DescriptorSettings(pooling="vlad", n_clusters=3), training)
    assert again.key == describer.key
    other_seed = PageDescriber.fit(DescriptorSettings(pooling="vlad", n_clusters=3), training, seed=1)
    assert other_seed.key != describer.key


def test_a_power_below_1_makes_values_more_alike_and_keeps_their_signs() -> None:
    page = np.array([[0.64, -0.04, 0.01]])
    found = PageDescriber.fit(DescriptorSettings(power=0.5)).describe(page)
    np.testing.assert_allclose(found, unit(np.array([0.8, -0.2, 0.1])), rtol=1e-6)


def test_whitened_training_pages_have_no_correlation_and_variance_1() -> None:
    training = pages(200)
    settings = DescriptorSettings(n_whitened=3)
    describer = PageDescriber.fit(settings, training)
    plain = PageDescriber.fit(DescriptorSettings()).describe_all(training).astype(np.float64)
    mean, components = plain.mean(axis=0), np.linalg.svd(plain - plain.mean(axis=0), full_matrices=False)[2][:3]
    scaled = (plain - mean) @ components.T
    scaled /= scaled.std(axis=0, ddof=1)
    expected = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(describer.describe_all(training)), np.abs(expected), atol=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (DescriptorSettings(pooling="vlad", n_clusters=50), "50 clusters needs .* there are 27"),
        (DescriptorSettings(n_whitened=3), r"at most 2 components: .* training pages \(3\)"),
    ],
)
def test_too_few_training_pages_are_refused(settings: DescriptorSettings, message: str) -> None:
    with pytest.raises(RetrievalError, match=message):
        PageDescriber.fit(settings, pages(3))


def test_pages_that_are_all_alike_cannot_be_whitened() -> None:
    with pytest.raises(RetrievalError, match="in which training pages differ"):
        PageDescriber.fit(DescriptorSettings(n_whitened=2), pages(1) * 6)


@pytest.mark.parametrize("page", [np.empty((0, 4)), np.zeros(4), np.array([[np.nan, 1.0]])])
def test_a_page_without_patches_or_with_other_than_numbers_is_refused(page: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must (have embeddings|be finite)"):
        PageDescriber.fit(DescriptorSettings()).describe(page)


def test_patches_of_another_network_are_refused() -> None:
    for settings in (DescriptorSettings(pooling="vlad", n_clusters=2), DescriptorSettings(n_whitened=2)):
        describer = PageDescriber.fit(settings, pages())
        with pytest.raises(ValueError, match=r"must .* as in training"):
            describer.describe(pages(1, n_features=6)[0])


def test_a_setting_that_is_out_of_range_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="power"):
        DescriptorSettings(power=0.0)
    with pytest.raises(ValueError, match=r"PageDescriber\.fit"):
        PageDescriber(DescriptorSettings(pooling="vlad"))


def test_patches_that_cancel_out_are_zeros_not_errors() -> None:
    assert (PageDescriber.fit(DescriptorSettings()).describe(np.array([[1.0, 0.0], [-1.0, 0.0]])) == 0).all()
