"""What a likelihood ratio rests on, as one HTML file that needs nothing else."""

from pathlib import Path
from typing import Any

from core.durable_files import write_atomically
from core.html_page import render_html
from search.identification.evidence_page import AGAINST_COLOUR, FOR_COLOUR, shade_patches
from search.identification.verification import Verification

_TEMPLATE = "verification.html.j2"


def write_verification_page(answer: Verification, evidence: dict[str, Any], model: str, path: Path) -> Path:
    """Write the page; it appears whole or not at all.

    Args:
        answer: about two pages.
        evidence: of it.
        model: how the model is called.
        path: of the file.

    Raises:
        OSError: if it cannot be written.
    """
    write_atomically(path, render_verification(answer, evidence, model).encode())
    return path


def render_verification(answer: Verification, evidence: dict[str, Any], model: str) -> str:
    """The page as text."""
    pages = [page | {"squares": shade_patches(page["patches"], "log10 LR")} for page in evidence["pages"]]
    return render_html(
        "search.identification",
        _TEMPLATE,
        found=answer.found,
        origin=answer.calibrated_on.origin,
        names=[page["name"] for page in pages],
        n_patches=[answer.one.described.n_patches, answer.other.described.n_patches],
        pages=pages,
        speak_for=evidence["speak_for"],
        speak_against=evidence["speak_against"],
        model=model,
        for_colour=FOR_COLOUR,
        against_colour=AGAINST_COLOUR,
    )
