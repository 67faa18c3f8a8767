"""What was found beside what was looked for, as one HTML file that needs nothing else: each pair of
pages, and the patches that decided.

A similarity is the product of two descriptors, and a descriptor is the mean of its page's patches,
adapted to the archive or not: so a similarity is a sum over all pairs of patches, one of each page.
What all pages of an archive have in common ranks none of them. It is taken off both, and the pairs
that then say most are shown.
"""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.durable_files import write_atomically
from core.errors import ImageError, PatchError
from core.html_page import render_html
from core.pages.frames import Page
from core.patches.plan import are_apart
from core.retrieval.adaptation import Adaptation
from core.retrieval.descriptor_index import DescriptorIndex
from core.scoring.mean_scores import FloatArray
from search.identification.page_index import AlikePage
from search.identification.page_reader import PageReader, SeenPage

N_PAIRS = 4
"""Pairs of patches that are shown of each page found."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a05195")
"""Blue, vermilion and green of Okabe and Ito's palette, and a purple; each pair has a number,
too."""
_TEMPLATE = "contact_sheet.html.j2"
_LONGEST_PX = 900
_JPEG_QUALITY = 80
_LEAST_INK = 0.5  # of what the page's patches usually have
_ROWS_AT_ONCE = 10_000  # so that memory does not grow with the index


@dataclass(frozen=True)
class AlikePatches:
    """A patch of each of two pages.

    Attributes:
        first: number of the patch of the page that was looked for.
        second: number of that of the page found.
        cosine: of the two points in the network's embedding; 1 is the same.
    """

    first: int
    second: int
    cosine: float


@dataclass(frozen=True)
class ShownPatch:
    """A patch on the sheet.

    Attributes:
        png: of its pixels, in base64.
        points: of an SVG polygon on the picture of its page.
        x: where its number stands on that picture.
        y: likewise.
    """

    png: str
    points: str
    x: float
    y: float


@dataclass(frozen=True)
class ShownPage:
    """A picture of a page.

    Attributes:
        jpeg: in base64.
        width: in pixels.
        height: in pixels.
    """

    jpeg: str
    width: int
    height: int


@dataclass(frozen=True)
class ShownPair:
    """Two patches side by side.

    Attributes:
        number: on both pages, from 1.
        colour: of their outlines.
        cosine: of the two.
        first: of the page that was looked for.
        second: of the page found.
    """

    number: int
    colour: str
    cosine: float
    first: ShownPatch
    second: ShownPatch


@dataclass(frozen=True)
class ShownFind:
    """A page that was found.

    Attributes:
        rank: from 1.
        alike: the page and its similarity.
        page: its picture; `None` where it cannot be shown.
        pairs: the patches that decided.
        reason: why it cannot be shown.
    """

    rank: int
    alike: AlikePage
    page: ShownPage | None
    pairs: tuple[ShownPair, ...] = ()
    reason: str = ""


def write_contact_sheet(
    query: Page,
    found: Sequence[AlikePage],
    index: DescriptorIndex,
    reader: PageReader,
    model: str,
    path: Path,
    adaptation: Adaptation | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the sheet; it appears whole or not at all.

    Args:
        query: the page that was looked for.
        found: what was found, the most alike first.
        index: where it was found.
        reader: by which all pages were described: by the mean of their patches.
        model: how the model is called.
        path: of the file.
        adaptation: of descriptors, by which the pages were found; `None` if by none.
        on_progress: called with (pages looked at, pages in all).

    Raises:
        ImageError: if the page that was looked for cannot be read.
        PatchError: if no patch can be cut from it.
        OSError: if the file cannot be written.
    """
    common = mean_descriptor(index)
    seen = reader.look_at(query)
    finds = []
    for rank, alike in enumerate(found, start=1):
        finds.append(_show_find(rank, alike, seen, reader, common, adaptation))
        if on_progress is not None:
            on_progress(rank, len(found))
    text = render_html(
        "search.identification",
        _TEMPLATE,
        query=query.name,
        page=_show_page(seen),
        finds=finds,
        n_pages=len(index),
        model=model,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())
    return path


def mean_descriptor(index: DescriptorIndex) -> FloatArray:
    """The mean of the rows of an index, (n_dimensions,): what its pages have in common."""
    rows, counts, total = index.descriptors(), index.is_current, np.zeros(index.n_dimensions)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        total += counts[start : start + _ROWS_AT_ONCE] @ rows[start : start + _ROWS_AT_ONCE].astype(np.float64)
    return total / max(1, len(index))


def decisive_pairs(
    first: SeenPage, second: SeenPage, common: FloatArray, n: int, adaptation: Adaptation | None = None
) -> list[AlikePatches]:
    """The pairs of patches that make two pages more alike than all are, the strongest first.

    Of patches that share more than half of their area with one that was taken before none is taken:
    neighbours show nearly the same. Nor is one with less than half of the ink that the page's
    patches usually have: two that are nearly empty are alike, and show nobody anything.

    Args:
        first: a page.
        second: another one.
        common: (n_features,), what all pages have in common.
        n: how many pairs at most.
        adaptation: of descriptors, by which the pages were compared; `None` if by none.
    """
    beyond = [_beyond_common(page, common) for page in (first, second)]
    one, other = beyond if adaptation is None else map(adaptation.turn, beyond)
    weights = one @ other.T
    weights[~_has_ink(first)] = weights[:, ~_has_ink(second)] = 0
    taken: list[AlikePatches] = []
    for place in np.argsort(-weights, axis=None, kind="stable").tolist():
        here, there = divmod(place, weights.shape[1])
        if len(taken) == n or weights[here, there] <= 0:
            break
        if all(
            are_apart(first.plan, here, pair.first) and are_apart(second.plan, there, pair.second) for pair in taken
        ):
            taken.append(AlikePatches(here, there, float(first.embeddings[here] @ second.embeddings[there])))
    return taken


def _beyond_common(page: SeenPage, common: FloatArray) -> FloatArray:
    """Of each patch what the mean page has not; their mean is the descriptor without it."""
    length = float(np.linalg.norm(page.embeddings.mean(axis=0))) or 1.0
    return np.asarray(page.embeddings / length - common, dtype=np.float64)


def _has_ink(page: SeenPage) -> NDArray[np.bool_]:
    blackness = 255.0 - page.pixels.reshape(len(page.pixels), -1).mean(axis=1)
    return np.asarray(blackness >= _LEAST_INK * np.median(blackness))


def _show_find(
    rank: int,
    alike: AlikePage,
    query: SeenPage,
    reader: PageReader,
    common: FloatArray,
    adaptation: Adaptation | None,
) -> ShownFind:
    if alike.is_gone:
        return ShownFind(rank, alike, None, reason="Its file is not there any more.")
    try:
        seen = reader.look_at(alike.page)
    except (ImageError, PatchError) as error:
        return ShownFind(rank, alike, None, reason=str(error))
    pairs = tuple(
        ShownPair(number, colour, pair.cosine, _show_patch(query, pair.first), _show_patch(seen, pair.second))
        for number, (pair, colour) in enumerate(
            zip(decisive_pairs(query, seen, common, N_PAIRS, adaptation), COLOURS, strict=False), start=1
        )
    )
    return ShownFind(rank, alike, _show_page(seen), pairs)


def _shrinking(page: SeenPage) -> float:
    return min(1.0, _LONGEST_PX / max(page.grey.shape))


def _show_page(page: SeenPage) -> ShownPage:
    height, width = (max(1, round(side * _shrinking(page))) for side in page.grey.shape)
    small = Image.fromarray(page.grey).resize((width, height), Image.Resampling.BOX)
    return ShownPage(_encoded(small, "JPEG"), width, height)


def _show_patch(page: SeenPage, number: int) -> ShownPatch:
    corners: NDArray[np.float64] = page.places[number] * _shrinking(page)
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners.tolist())
    x, y = corners[0].round(1).tolist()
    return ShownPatch(_encoded(Image.fromarray(page.pixels[number]), "PNG"), points, x, y)


def _encoded(image: Image.Image, kind: str) -> str:
    buffer = BytesIO()
    image.save(buffer, format=kind, optimize=True, **({"quality": _JPEG_QUALITY} if kind == "JPEG" else {}))
    return base64.b64encode(buffer.getvalue()).decode("ascii")
