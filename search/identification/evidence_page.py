"""What an answer rests on, as one HTML file that needs nothing else: for the screen, the phone and the printer."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from search.identification.identify import ExplainedPrediction
from search.ledger.files import write_atomically

_TEMPLATE = "evidence.html.j2"
_FOR, _AGAINST = (0, 114, 178), (213, 94, 0)
"""Blue and vermilion of Okabe and Ito's palette: told apart with any kind of colour vision."""
_SHOWN_WRITERS = 5
_STRONGEST_SHADE = 0.6


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
    environment = Environment(
        loader=PackageLoader("search.identification", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    evidence = explained.evidence
    weights = np.array([patch["weight"] for patch in evidence["patches"]])
    return environment.get_template(_TEMPLATE).render(
        prediction=explained.prediction,
        image=Path(explained.prediction.image).name,
        record=explained.record,
        calibration=explained.record.calibration(explained.prediction.n_lines),
        model=model,
        ranking=explained.prediction.ranking[:_SHOWN_WRITERS],
        evidence=evidence,
        squares=shade_patches(evidence["patches"]),
        strongest=float(np.abs(weights).max()),
        mean_weight=float(weights.mean()),
        n_for=int((weights > 0).sum()),
        shade_parts=shade_parts,
        weights=weights,
        for_colour=_css(_FOR),
        against_colour=_css(_AGAINST),
    )


def shade_patches(patches: list[dict[str, Any]]) -> list[ShadedSquare]:
    """The patches on the page, the weakest first, so that the strongest lie on top."""
    strongest = max(abs(patch["weight"]) for patch in patches) or 1.0
    numbered = sorted(enumerate(patches, start=1), key=lambda item: abs(item[1]["weight"]))
    return [
        _shade(patch["corners"], patch["weight"], strongest, f"patch {number}: {patch['weight']:+.2f} nats")
        for number, patch in numbered
    ]


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
    colour = _css(_FOR if weight > 0 else _AGAINST)
    return ShadedSquare(points, colour, round(_STRONGEST_SHADE * abs(weight) / strongest, 3), text)


def _css(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
