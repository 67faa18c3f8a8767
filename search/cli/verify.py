"""`whosehand verify`: are these two pages by one hand, and how strong is the evidence?"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli.asked_model import ModelOption, TrustOption, find_asked_model, load_reader
from search.cli.common import StoreOption, current_workspace, notes, output, progress_bar

if TYPE_CHECKING:
    from search.identification.verification import Verification


def verify(
    one: Annotated[Path, typer.Argument(metavar="A", help="The image of a page.", show_default=False)],
    other: Annotated[Path, typer.Argument(metavar="B", help="The image of another one.", show_default=False)],
    model: ModelOption = None,
    calibrate_on: Annotated[
        Path | None,
        typer.Option(
            metavar="EXPERIMENT|FOLDER",
            help="Pages by known writers whom training never saw, like those in question.",
            show_default="those that the model takes along",
        ),
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what the answer rests on, as an HTML page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trust: TrustOption = False,
    uri: StoreOption = None,
) -> None:
    """Say how strongly two pages speak for one hand, or for two: a likelihood ratio, and in words.

    It is calibrated on pages by writers whom training never saw, by as much ink as the two pages
    have, and goes no further than these pages support. With too little ink it says nothing. It is
    no probability that one hand wrote both, and no validated casework.
    """
    from search.comparison.calibration_pages import calibration_pages
    from search.identification.page_index import only_page
    from search.identification.verification import gather_verification_evidence
    from search.identification.verification import verify as verify_pages
    from search.identification.verification_page import write_verification_page

    pages = only_page(one), only_page(other)
    asked = find_asked_model(model, uri, trust)
    reader = load_reader(asked)
    with progress_bar("reading the pages to calibrate on") as advance:
        calibration = calibration_pages(calibrate_on, asked.folder, reader, current_workspace(), advance)
    with notes.status("comparing the pages"):
        answer = verify_pages(*pages, reader, calibration)
    if evidence is not None:
        write_verification_page(answer, gather_verification_evidence(answer), asked.title, evidence)
    if as_json:
        output.print_json(json.dumps({"model": asked.title} | answer.as_json()))
        return
    _print(answer)
    if evidence is not None:
        output.print(f"what it rests on: {evidence}")
    output.print(f"model: {asked.title}")


def _print(answer: "Verification") -> None:
    found, fitted = answer.found, answer.found.calibration
    output.print(f"{found.words}: log10 LR {found.log10_ratio:+.2f} ({_span(*found.interval)})")
    if found.is_bounded:
        output.print("  at the bound: the calibration pages support no number beyond it")
    output.print(
        f"  compared: {found.amounts[0]} and {found.amounts[1]} patches, of {answer.one.described.n_patches} and "
        f"{answer.other.described.n_patches}; cosine {found.similarity:.3f}"
    )
    output.print(
        f"  calibrated on: {answer.calibrated_on.origin} ({fitted.n_writers_of_different} writers, {fitted.n_same:,} "
        f"pairs by one hand, {fitted.n_different:,} by two); bounds {_span(fitted.lowest, fitted.highest)}"
    )
    output.print("  not validated casework: it holds for pages like those that it was calibrated on")


def _span(low: float, high: float) -> str:
    return f"{low:+.2f} to {high:+.2f}"
