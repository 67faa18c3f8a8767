import numpy as np
import pytest

from benchmarks.deletion import deletion_loss, paint_over
from core.identification.evidence import Evidence, decisive_patches, gather_evidence
from core.identification.writer_identifier import WriterIdentifier
from core.networks.inference import Embedder, in_batches
from core.pages.image_files import read_grey
from core.patches.plan import PatchPlan, distinct_patches, read_patches
from search.objectives.saved_model import network_file
from tests.search.toy_model import N_DIMENSIONS, WRITER_IDS, calibrated_record, save_toy_model, toy_gallery, write_line

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return read_grey(write_line(tmp_path_factory.mktemp("images") / "line.png"))


@pytest.fixture(scope="module")
def identifier(tmp_path_factory: pytest.TempPathFactory) -> WriterIdentifier:
    folder = save_toy_model(tmp_path_factory.mktemp("toy") / "network")
    calibrated_record().save(folder)
    return WriterIdentifier.load(network_file(folder), folder)


@pytest.fixture(scope="module")
def evidence(identifier: WriterIdentifier, image: np.ndarray) -> Evidence:
    return gather_evidence(identifier, image, identifier.read_lines(image, "line.png"), "line.png", 2, toy_gallery())


def test_the_weights_explain_the_whole_decision(
    evidence: Evidence, identifier: WriterIdentifier, image: np.ndarray
) -> None:
    assert evidence.prediction == identifier.identify(image, "line.png")
    first, second = evidence.prediction.ranking[:2]
    assert evidence.rival == second.writer_id
    log_ratio = np.log(first.probability / second.probability)
    assert evidence.weights.mean() / calibrated_record().calibrations[0].temperature == pytest.approx(log_ratio, 1e-3)


def test_patches_lie_on_the_ink_of_the_image(evidence: Evidence, image: np.ndarray) -> None:
    assert evidence.places.shape == (len(evidence.weights), 4, 2)
    for place, patch in zip(evidence.places, evidence.pixels, strict=True):
        (left, top), (right, bottom) = place[0], place[2]
        shown = image[max(0, round(top)) : round(bottom), max(0, round(left)) : round(right)]
        assert right - left == pytest.approx(bottom - top)
        assert (shown < 128).mean() == pytest.approx((patch < 128).mean(), abs=0.08)


def test_decisive_patches_are_the_heaviest_and_shown_with_the_first_writers(evidence: Evidence) -> None:
    shown = [patch.number for patch in evidence.speak_for]
    assert len(shown) == 2
    assert shown[0] == evidence.weights.argmax()
    assert evidence.weights[shown[0]] >= evidence.weights[shown[1]] > 0
    assert all(evidence.weights[patch.number] < 0 for patch in evidence.speak_against)
    for patch in (*evidence.speak_for, *evidence.speak_against):
        assert {similar.writer_id for similar in patch.similar} == set(WRITER_IDS)
        assert np.abs(patch.occlusion).max() > 0


def test_of_patches_that_share_most_of_their_area_the_heavier_one_counts() -> None:
    at = np.array([0, 20, 60, 200, 200], dtype=np.int32)
    zeros = np.zeros(5, dtype=np.int32)
    plan = PatchPlan(lines=np.array([0, 0, 0, 0, 1], dtype=np.int32), tops=zeros, lefts=at, labels=zeros, size_px=100)
    weights = np.array([3.0, 4.0, -1.0, 1.0, 2.0])
    assert decisive_patches(weights, plan, 4) == [1, 4, 3]
    assert decisive_patches(weights, plan, 2) == [1, 4]
    assert decisive_patches(-weights, plan, 4) == [2]
    assert distinct_patches(range(5), plan, 5) == [0, 2, 3, 4]


def test_embeddings_have_length_one_and_tell_patches_apart(identifier: WriterIdentifier, evidence: Evidence) -> None:
    points = Embedder(identifier.predictor.model).embed(in_batches(evidence.pixels, 4))
    assert points.shape == (len(evidence.pixels), N_DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.0, atol=1e-5)
    assert points.std(axis=0).max() > 0


def test_painting_over_takes_away_the_patches_and_nothing_else(identifier: WriterIdentifier, image: np.ndarray) -> None:
    lines = identifier.read_lines(image, "line.png")
    plan = identifier.plan_patches(lines)
    painted = paint_over(lines, plan, [0])
    assert (read_patches(painted, plan[:1]) == 255).all()
    left = int(plan.lefts[0])
    np.testing.assert_array_equal(painted.pixels(0)[:, left + 113 :], lines.pixels(0)[:, left + 113 :])
    assert (lines.pixels(0)[:, left : left + 113] < 255).any(), "the original stays as it is"


def test_the_deletion_test_paints_as_many_random_patches(identifier: WriterIdentifier, image: np.ndarray) -> None:
    lines = identifier.read_lines(image, "line.png")
    loss = deletion_loss(identifier, lines, WRITER_IDS[0], share=0.2, n_draws=3, seed=0)
    assert loss is not None
    assert (loss.n_painted, len(loss.random)) == (1, 3)
    assert loss.difference == pytest.approx(loss.decisive.loss - np.mean([draw.loss for draw in loss.random]))
    assert all(0 < painted.ink < 1 for painted in (loss.decisive, *loss.random))
