"""Why the model names this writer: what each patch says, which decided, and what they resemble.

The decision rests on the mean over patches of the log-probabilities, so a patch's weight is the
difference of the log-probabilities of the named writer and of the second one. The mean of the
weights, divided by the temperature, is the logarithm of the ratio of the two calibrated
probabilities: nothing of the decision is left unexplained.

Which strokes of a patch speak for a writer is found by painting over a part of it and seeing how
much less sure the network is (Zeiler and Fergus, "Visualizing and understanding convolutional
networks", 2014). That asks the network itself and needs no gradient, so it holds for every network.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.corpora.index import Region
from core.identification.gallery import Gallery
from core.identification.prediction import Prediction
from core.identification.writer_identifier import WriterIdentifier
from core.lines.source import ImageLines
from core.networks.inference import Embedder, in_batches
from core.pages.text_lines import place_of_line, read_page
from core.patches.augmentation import PAPER
from core.patches.plan import PatchPlan, distinct_patches, read_patches
from core.scoring.mean_scores import FloatArray

N_WRITERS_SHOWN = 3
Weigh = Callable[[NDArray[np.uint8]], FloatArray]
"""From patches (n, size_px, size_px) to how much each speaks for the decision, (n,), in nats."""
_INK_LEVEL = 128
_WINDOWS_PER_SIDE = 6
_LONGEST_PX = 1600


@dataclass(frozen=True)
class SimilarPatch:
    """A training patch of a writer that is most like a patch of the page.

    Attributes:
        writer_id: whose.
        image_id: of the training image.
        cosine: of the two points in the network's embedding; 1 is the same.
        pixels: (size_px, size_px), 0 ink to 255 paper.
    """

    writer_id: str
    image_id: str
    cosine: float
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class DecisivePatch:
    """One of the patches that say most.

    Attributes:
        number: of the patch.
        occlusion: (n_cells, n_cells), by how many nats each part of it speaks for the named writer.
        similar: one patch of each of the first writers; empty for a model without a gallery.
    """

    number: int
    occlusion: FloatArray
    similar: tuple[SimilarPatch, ...]


@dataclass(frozen=True)
class Evidence:
    """What an answer rests on.

    Attributes:
        prediction: as without evidence.
        rival: the second writer.
        weights: (n_patches,) in nats: above 0 for the named writer, below 0 for the rival.
        places: (n_patches, 4, 2), corners (x, y) of each patch in pixels of the upright image,
            clockwise.
        pixels: (n_patches, size_px, size_px), the patches as the network sees them.
        speak_for: the patches that say most for the named writer, the strongest first.
        speak_against: those that say most for the rival, the strongest first.
    """

    prediction: Prediction
    rival: str
    weights: FloatArray
    places: FloatArray
    pixels: NDArray[np.uint8]
    speak_for: tuple[DecisivePatch, ...]
    speak_against: tuple[DecisivePatch, ...]


def gather_evidence(
    identifier: WriterIdentifier,
    grey: NDArray[np.uint8],
    lines: ImageLines,
    name: str,
    n_decisive: int,
    gallery: Gallery | None = None,
) -> Evidence:
    """Identify the writer of an image, and say why.

    Args:
        identifier: network and record.
        grey: (height, width), dark ink on light paper.
        lines: of the image, as the identifier reads them.
        name: of the image in errors.
        n_decisive: how many patches are looked at closely, for and against.
        gallery: of the model, where it has one.

    Raises:
        PatchError: if no patch can be cut from it.
    """
    plan = identifier.plan_patches(lines)
    scores = identifier.log_probabilities(lines, plan)
    prediction = identifier.predict(scores, len(lines.lines), name)
    weights = weigh_patches(scores, *first_two(identifier, prediction))
    pixels = read_patches(lines, plan)
    embedder = Embedder(identifier.predictor.model) if gallery else None

    def look_at(number: int) -> DecisivePatch:
        return _look_at(identifier, prediction, number, pixels[number], gallery, embedder)

    return Evidence(
        prediction=prediction,
        rival=prediction.ranking[1].writer_id,
        weights=weights,
        places=place_patches(identifier, grey, lines, plan),
        pixels=pixels,
        speak_for=tuple(look_at(number) for number in decisive_patches(weights, plan, n_decisive)),
        speak_against=tuple(look_at(number) for number in decisive_patches(-weights, plan, n_decisive)),
    )


def evidence_as_json(evidence: Evidence, grey: NDArray[np.uint8], gallery_size: int) -> dict[str, Any]:
    """Evidence with the page that it is about.

    Args:
        evidence: of an image.
        grey: (height, width), the image.
        gallery_size: patches in the model's gallery, 0 without one.

    Returns:
        `rival`; `page` with `png`, `width` and `height` in pixels of the (possibly smaller)
        picture; `patches`, each with `corners` in pixels of that picture and `weight` in nats;
        `speak_for` and `speak_against`, each with `number`, `png`, `occlusion` and `similar`;
        `gallery_size`.
    """
    return {
        "rival": evidence.rival,
        **weighed_page(grey, evidence.places, evidence.weights),
        "speak_for": _decisive_as_json(evidence.speak_for, evidence),
        "speak_against": _decisive_as_json(evidence.speak_against, evidence),
        "gallery_size": gallery_size,
    }


def weighed_page(grey: NDArray[np.uint8], places: FloatArray, weights: FloatArray) -> dict[str, Any]:
    """A page with its patches, as plain values: `page` and `patches` of `evidence_as_json`.

    Args:
        grey: (height, width), the image.
        places: (n_patches, 4, 2), corners of the patches on it.
        weights: (n_patches,) what each says.
    """
    shrink = min(1.0, _LONGEST_PX / max(grey.shape))
    size = max(1, round(grey.shape[1] * shrink)), max(1, round(grey.shape[0] * shrink))
    page = Image.fromarray(grey).resize(size, Image.Resampling.BOX)
    return {
        "page": {"png": png_text(np.asarray(page)), "width": size[0], "height": size[1]},
        "patches": [
            {"corners": (corners * shrink).round(1).tolist(), "weight": round(float(weight), 4)}
            for corners, weight in zip(places, weights, strict=True)
        ],
    }


def first_two(identifier: WriterIdentifier, prediction: Prediction) -> tuple[int, int]:
    """The classes of the named writer and of the second one."""
    writer_ids = identifier.record.writer_ids
    return writer_ids.index(prediction.ranking[0].writer_id), writer_ids.index(prediction.ranking[1].writer_id)


def weigh_patches(log_probabilities: NDArray[np.floating], named: int, rival: int) -> FloatArray:
    """How much each patch speaks for one writer against another, in nats.

    >>> weigh_patches(np.log([[0.8, 0.1, 0.1], [0.2, 0.4, 0.4]]), 0, 1).round(2).tolist()
    [2.08, -0.69]
    """
    return np.asarray(log_probabilities[:, named] - log_probabilities[:, rival], dtype=np.float64)


def decisive_patches(weights: FloatArray, plan: PatchPlan, n: int) -> list[int]:
    """The patches with the largest weights above 0, at most n, the strongest first; none is shown
    twice.

    Args:
        weights: (n_patches,) in nats.
        plan: where the patches are.
        n: how many.
    """
    order = np.argsort(-weights, kind="stable")
    return distinct_patches([int(number) for number in order if weights[number] > 0], plan, n)


def occlusion_map(patch: NDArray[np.uint8], weigh: Weigh) -> FloatArray:
    """By how much each part of a patch speaks for the decision.

    A square of a sixth of the patch is painted with paper, in steps of half its side.

    Args:
        patch: (size_px, size_px), 0 ink to 255 paper.
        weigh: asks the network.

    Returns:
        (n_cells, n_cells), rows before columns, in nats: the mean loss of the squares that cover
        the cell. Above 0 what is there speaks for the decision. Where there is no ink it is 0.
    """
    edges = np.linspace(0, len(patch), 2 * _WINDOWS_PER_SIDE + 1).round().astype(int)
    n_cells = len(edges) - 1
    squares = [(row, column) for row in range(n_cells - 1) for column in range(n_cells - 1)]
    painted, asked = [patch], []
    for row, column in squares:
        square = (slice(edges[row], edges[row + 2]), slice(edges[column], edges[column + 2]))
        if (patch[square] < _INK_LEVEL).any():
            without = patch.copy()
            without[square] = PAPER
            painted.append(without)
            asked.append((row, column))
    weights = weigh(np.stack(painted))
    total, count = np.zeros((n_cells, n_cells)), np.zeros((n_cells, n_cells))
    for (row, column), loss in zip(asked, (weights[0] - weights[1:]).tolist(), strict=True):
        total[row : row + 2, column : column + 2] += loss
        count[row : row + 2, column : column + 2] += 1
    has_ink = np.array(
        [
            [(patch[edges[r] : edges[r + 1], edges[c] : edges[c + 1]] < _INK_LEVEL).any() for c in range(n_cells)]
            for r in range(n_cells)
        ]
    )
    return np.where(has_ink, total / np.maximum(count, 1), 0.0)


def place_patches(
    identifier: WriterIdentifier, grey: NDArray[np.uint8], lines: ImageLines, plan: PatchPlan
) -> FloatArray:
    """Where patches lie on the image, which may have been turned and cut before its lines were
    scaled.

    Args:
        identifier: that read the lines.
        grey: (height, width), the image.
        lines: of the image.
        plan: of patches on them.

    Returns:
        (n_patches, 4, 2), corners (x, y) of each patch in pixels of the upright image, clockwise.
    """
    ink = identifier.record.ink
    page = read_page(grey, lines.unit, ink)
    regions = [place_of_line(page, line, ink) for line in page.lines]
    corners = []
    for line, top, left in zip(plan.lines.tolist(), plan.tops.tolist(), plan.lefts.tolist(), strict=True):
        margin = max(0, plan.size_px - lines.lines[line].width_px) // 2
        corners.append(_corners(regions[line], top, left - margin, plan.size_px, lines.height_px))
    to_page = page.clean.to_page
    return np.asarray(np.array(corners) @ to_page[:, :2].T + to_page[:, 2], dtype=np.float64)


def _look_at(
    identifier: WriterIdentifier,
    prediction: Prediction,
    number: int,
    patch: NDArray[np.uint8],
    gallery: Gallery | None,
    embedder: Embedder | None,
) -> DecisivePatch:
    named, rival = first_two(identifier, prediction)

    def weigh(patches: NDArray[np.uint8]) -> FloatArray:
        return weigh_patches(identifier.predictor.log_probabilities(in_batches(patches)), named, rival)

    similar: tuple[SimilarPatch, ...] = ()
    if gallery is not None and embedder is not None:
        point = embedder.embed(in_batches(patch[np.newaxis]))[0]
        shown = [writer.writer_id for writer in prediction.ranking[:N_WRITERS_SHOWN]]
        similar = _similar(gallery, point, shown, identifier.record.writer_ids)
    return DecisivePatch(number, occlusion_map(patch, weigh), similar)


def _similar(
    gallery: Gallery, point: NDArray[np.float32], shown: Sequence[str], writer_ids: Sequence[str]
) -> tuple[SimilarPatch, ...]:
    found = []
    for writer_id in shown:
        writer = writer_ids.index(writer_id)
        if (gallery.classes == writer).any():
            number, cosine = gallery.nearest(point, writer)
            found.append(SimilarPatch(writer_id, gallery.image_ids[number], cosine, gallery.pixels[number]))
    return tuple(found)


def _corners(line: Region, top: int, left: int, size_px: int, height_px: int) -> list[tuple[float, float]]:
    scale = line.height / height_px
    x, y, side = line.left + left * scale, line.top + top * scale, size_px * scale
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def _decisive_as_json(patches: Sequence[DecisivePatch], evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {
            "number": patch.number,
            "png": png_text(evidence.pixels[patch.number]),
            "occlusion": patch.occlusion.round(4).tolist(),
            "similar": [_similar_as_json(similar) for similar in patch.similar],
        }
        for patch in patches
    ]


def _similar_as_json(similar: SimilarPatch) -> dict[str, Any]:
    return {
        "writer_id": similar.writer_id,
        "image_id": similar.image_id,
        "cosine": round(similar.cosine, 4),
        "png": png_text(similar.pixels),
    }


def png_text(grey: NDArray[np.uint8]) -> str:
    """A picture, (height, width), as base64 of a PNG file."""
    buffer = BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
