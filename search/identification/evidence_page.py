"""What an answer rests on, as one HTML file that needs nothing else: for the screen, the phone and
the printer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.durable_files import write_atomically
from core.html_page import render_html
from search.identification.identify import ExplainedPrediction

_TEMPLATE = "evidence.html.j2"
FOR_COLOUR, AGAINST_COLOUR = "#0072b2", "#d55e00"
"""Blue and vermilion of Okabe and Ito's palette: told apart with any kind of colour vision."""
_SHOWN_WRITERS = 5
_STRONGEST_SHADE = 0.6
_FEWEST_PLACES = 4
"""On an image with fewer different patches, as of a word, whole patches would be one bar: their
parts are shown.
"""
_MOST_SHARED = 0.5


@dataclass(frozen=True)
class ShadedSquare:
    """A patch on the page, or a part of a patch.

    Attributes:
        points: of an SVG polygon.
        colour: of its filling.
        opacity: 0 to 1, in proportion to what it says.
        text: for a pointer that rests on it.
    """

    points: str
    colour: str
    opacity: float
    text: str


def write_evidence_page(explained: ExplainedPrediction, model: str, path: Path) -> Path:
    """Write the page; it appears whole or not at all.

    Args:
        explained: answer and evidence.
        model: how the model is called.
        path: of the file.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, render_evidence(explained, model).encode())
    return path


def render_evidence(explained: ExplainedPrediction, model: str) -> str:
    """The page as text."""
    evidence = explained.evidence
    weights = np.array([patch["weight"] for patch in evidence["patches"]])
    n_places = count_places(evidence["patches"])
    is_short = n_places < _FEWEST_PLACES
    return render_html(
        "search.identification",
        _TEMPLATE,
        prediction=explained.prediction,
        image=Path(explained.prediction.image).name,
        record=explained.record,
        calibration=explained.record.calibration(explained.prediction.n_lines),
        model=model,
        ranking=explained.prediction.ranking[:_SHOWN_WRITERS],
        evidence=evidence,
        squares=shade_parts_on_page(evidence) if is_short else shade_patches(evidence["patches"]),
        n_places=n_places,
        is_short=is_short,
        strongest=float(np.abs(weights).max()),
        mean_weight=float(weights.mean()),
        n_for=int((weights > 0).sum()),
        shade_parts=shade_parts,
        weights=weights,
        for_colour=FOR_COLOUR,
        against_colour=AGAINST_COLOUR,
    )


def shade_patches(patches: list[dict[str, Any]], unit: str = "nats") -> list[ShadedSquare]:
    """The patches on the page, the weakest first, so that the strongest lie on top; `unit` is that
    of their weights.
    """
    strongest = max(abs(patch["weight"]) for patch in patches) or 1.0
    numbered = sorted(enumerate(patches, start=1), key=lambda item: abs(item[1]["weight"]))
    return [
        _shade(patch["corners"], patch["weight"], strongest, f"patch {number}: {patch['weight']:+.2f} {unit}")
        for number, patch in numbered
    ]


def count_places(patches: list[dict[str, Any]]) -> int:
    """How many patches an image has that share at most half of their area with each other."""
    taken: list[tuple[float, float, float]] = []
    for patch in patches:
        (left, top), (right, top_right) = patch["corners"][:2]
        side = float(np.hypot(right - left, top_right - top)) or 1.0
        place = (left / side, top / side, side)
        if all(_shared(place, other) <= _MOST_SHARED for other in taken):
            taken.append(place)
    return len(taken)


def _shared(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    across, down = abs(one[0] - other[0]), abs(one[1] - other[1])
    return max(0.0, 1 - across) * max(0.0, 1 - down)


def shade_parts_on_page(evidence: dict[str, Any]) -> list[ShadedSquare]:
    """The occlusion maps of the decisive patches, each where its patch is on the page."""
    decisive = [*evidence["speak_for"], *evidence["speak_against"]]
    strongest = max((abs(loss) for patch in decisive for row in patch["occlusion"] for loss in row), default=0.0) or 1.0
    squares = []
    for patch in decisive:
        corners = np.array(evidence["patches"][patch["number"]]["corners"])
        across, down = corners[1] - corners[0], corners[3] - corners[0]
        n_cells = len(patch["occlusion"])
        for r, row in enumerate(patch["occlusion"]):
            for c, loss in enumerate(row):
                if loss:
                    cell = [(c, r), (c + 1, r), (c + 1, r + 1), (c, r + 1)]
                    points = [corners[0] + across * x / n_cells + down * y / n_cells for x, y in cell]
                    squares.append(_shade(points, loss, strongest, f"{loss:+.2f} nats"))
    return squares


def shade_parts(occlusion: list[list[float]]) -> list[ShadedSquare]:
    """The cells of an occlusion map, in a square of as many units as there are cells."""
    strongest = max(abs(loss) for row in occlusion for loss in row) or 1.0
    return [
        _shade([(c, r), (c + 1, r), (c + 1, r + 1), (c, r + 1)], loss, strongest, f"{loss:+.2f} nats")
        for r, row in enumerate(occlusion)
        for c, loss in enumerate(row)
        if loss
    ]


def _shade(corners: Any, weight: float, strongest: float, text: str) -> ShadedSquare:
    points = " ".join(f"{x:g},{y:g}" for x, y in corners)
    colour = FOR_COLOUR if weight > 0 else AGAINST_COLOUR
    return ShadedSquare(points, colour, round(_STRONGEST_SHADE * abs(weight) / strongest, 3), text)
