"""What a likelihood ratio rests on, as one HTML file that needs nothing else."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from core.durable_files import write_atomically
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
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, render_verification(answer, evidence, model).encode())
    return path


def render_verification(answer: Verification, evidence: dict[str, Any], model: str) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("search.identification", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages = [page | {"squares": shade_patches(page["patches"], "log10 LR")} for page in evidence["pages"]]
    return environment.get_template(_TEMPLATE).render(
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
