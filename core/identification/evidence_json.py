"""Evidence as plain values that go through JSON; pictures as base64 text of PNG files."""

import base64
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.identification.evidence import DecisivePatch, Evidence, SimilarPatch

_LONGEST_PX = 1600


def evidence_as_json(evidence: Evidence, grey: NDArray[np.uint8], gallery_size: int) -> dict[str, Any]:
    """Evidence with the page that it is about.

    Args:
        evidence: of an image.
        grey: (height, width), the image.
        gallery_size: patches in the model's gallery, 0 without one.

    Returns:
        `rival`; `page` with `png`, `width` and `height` in pixels of the (possibly smaller) picture; `patches`, each
        with `corners` in pixels of that picture and `weight` in nats; `speak_for` and `speak_against`, each with
        `number`, `png`, `occlusion` and `similar`; `gallery_size`.
    """
    shrink = min(1.0, _LONGEST_PX / max(grey.shape))
    size = max(1, round(grey.shape[1] * shrink)), max(1, round(grey.shape[0] * shrink))
    page = Image.fromarray(grey).resize(size, Image.Resampling.BOX)
    return {
        "rival": evidence.rival,
        "page": {"png": _png(np.asarray(page)), "width": size[0], "height": size[1]},
        "patches": [
            {"corners": (corners * shrink).round(1).tolist(), "weight": round(float(weight), 4)}
            for corners, weight in zip(evidence.places, evidence.weights, strict=True)
        ],
        "speak_for": _decisive(evidence.speak_for, evidence),
        "speak_against": _decisive(evidence.speak_against, evidence),
        "gallery_size": gallery_size,
    }


def _decisive(patches: Sequence[DecisivePatch], evidence: Evidence) -> list[dict[str, Any]]:
    return [
        {
            "number": patch.number,
            "png": _png(evidence.pixels[patch.number]),
            "occlusion": patch.occlusion.round(4).tolist(),
            "similar": [_similar(similar) for similar in patch.similar],
        }
        for patch in patches
    ]


def _similar(similar: SimilarPatch) -> dict[str, Any]:
    return {
        "writer_id": similar.writer_id,
        "image_id": similar.image_id,
        "cosine": round(similar.cosine, 4),
        "png": _png(similar.pixels),
    }


def _png(grey: NDArray[np.uint8]) -> str:
    buffer = BytesIO()
    Image.fromarray(grey).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
