"""`whosehand index` and `whosehand find`: which pages of an archive are most like this one?"""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import CorpusError, ImageError
from core.wording import counted
from search.cli.asked_model import ModelOption, TrustOption, find_asked_model, load_reader
from search.cli.common import (
    StoreOption,
    current_workspace,
    labelled,
    notes,
    output,
    print_table,
    progress_bar,
)
from search.cli.retrieval import AdaptOption, RerankOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.pages.frames import Page
    from core.retrieval.adaptation import Adaptation
    from core.retrieval.descriptor_index import DescriptorIndex
    from search.identification.page_index import AlikePage, IndexTally
    from search.identification.page_reader import PageReader

_MOST_NAMED = 5


def index(
    pages: Annotated[
        list[Path], typer.Argument(metavar="PAGE...", help="Images, or folders of them.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="INDEX",
            help="The index's folder; made, or extended.",
            show_default="of one folder: where `find --in FOLDER` looks",
        ),
    ] = None,
    model: ModelOption = None,
    trust: TrustOption = False,
    uri: StoreOption = None,
) -> None:
    """Describe the pages of an archive, and keep the descriptions in an index for `find`.

    Nobody needs to know who wrote them. Run it again when pages have come or changed: only those
    are described. Pages whose file is gone are told, and stay in it. Ctrl-C is safe; the same
    command goes on. Pages are known by their paths, so that moved ones are new.
    """
    from core.corpora.image_walk import expand_folders
    from search.identification.page_index import extend_index, index_folder

    if out is None and (len(pages) != 1 or not pages[0].is_dir()):
        raise ImageError("Without --out one folder is indexed. Name the folder of an index by --out.")
    files = expand_folders(pages)
    reader = load_reader(find_asked_model(model, uri, trust))
    with progress_bar("describing pages") as advance:
        if out is None:
            out, tally = index_folder(pages[0], current_workspace().indexes, reader, advance)
        else:
            tally = extend_index(out, files, reader, advance)
    _print_skipped(tally)
    were = "was" if tally.n_known == 1 else "were"
    changed = f"{tally.n_changed:,} described anew, " if tally.n_changed else ""
    output.print(f"{out}: {counted(tally.n_added, 'page')} added, {changed}{tally.n_known:,} {were} there")
    raise typer.Exit(2 if tally.unreadable else 0)


def find(
    page: Annotated[Path, typer.Argument(metavar="PAGE", help="The image that is looked for.", show_default=False)],
    place: Annotated[
        Path,
        typer.Option("--in", metavar="FOLDER|INDEX", help="A folder of images, or an index that `index` has made."),
    ],
    model: ModelOption = None,
    top: Annotated[int, typer.Option(min=1, help="Show so many pages.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    table: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write a row for each page found, too.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Show query and finds side by side, as an HTML page, too."),
    ] = None,
    rerank: RerankOption = None,
    is_adapted: AdaptOption = True,
    is_approximate: Annotated[
        bool,
        typer.Option("--approximate", help="Search by faiss, which may miss a page: for millions of pages."),
    ] = False,
    trust: TrustOption = False,
    uri: StoreOption = None,
) -> None:
    """Find the pages of an archive that are most like one page.

    A folder is indexed first, into data/indexes; the next time only new and changed pages are
    described. The similarity ranks pages; it is no probability that one hand wrote them. `whosehand
    retrieval` says how often the first ones are right, on pages whose writers are known. --rerank
    puts pages first that are also alike to the other pages like the query.
    """
    from core.retrieval.approximate_search import ApproximateSearch
    from core.retrieval.descriptor_index import DescriptorIndex
    from search.identification.page_index import adaptation_to, find_alike, index_folder, is_index, only_page

    wanted = only_page(page)
    if not place.is_dir():
        raise ImageError(f"--in must name a folder of images or an index, but {place} is no folder.")
    asked = find_asked_model(model, uri, trust)
    reader = load_reader(asked)
    if not is_index(place):
        with progress_bar("describing pages") as advance:
            place, tally = index_folder(place, current_workspace().indexes, reader, advance)
        _print_skipped(tally)
    archive = DescriptorIndex.open(place)
    searcher = ApproximateSearch(archive) if is_approximate else None
    adaptation = adaptation_to(archive) if is_adapted else None
    found = find_alike(archive, wanted, reader, top, searcher, rerank, adaptation)
    if table is not None:
        _write(found, table)
    if sheet is not None:
        _draw(wanted, found, archive, reader, asked.title, sheet, adaptation)
    if as_json:
        alike = [{"path": each.path, "similarity": each.similarity, "is_gone": each.is_gone} for each in found]
        output.print_json(json.dumps({"query": str(page), "model": asked.title, "found": alike}))
    else:
        _print_found(found, asked.title, sheet)


def _print_found(found: "Sequence[AlikePage]", model: str, sheet: Path | None) -> None:
    rows = [
        (str(rank), f"{each.path} (gone)" if each.is_gone else each.path, f"{each.similarity:.3f}")
        for rank, each in enumerate(found, start=1)
    ]
    print_table(("rank", "page", "similarity"), rows, n_text_columns=2, path_column=1)
    output.print(f"model: {model}")
    if sheet is not None:
        output.print(f"side by side: {sheet}")


def _print_skipped(tally: "IndexTally") -> None:
    for image in tally.unreadable:
        notes.print(labelled("skipped", image.reason, "yellow"))
    for name in tally.gone[:_MOST_NAMED]:
        notes.print(labelled("gone", f"{name} is in the index, but its file is not there any more", "yellow"))
    if len(tally.gone) > _MOST_NAMED:
        notes.print(labelled("gone", f"and {len(tally.gone) - _MOST_NAMED:,} more", "yellow"))


def _draw(
    query: "Page",
    found: "Sequence[AlikePage]",
    archive: "DescriptorIndex",
    reader: "PageReader",
    model: str,
    sheet: Path,
    adaptation: "Adaptation | None",
) -> None:
    from search.identification.contact_sheet import write_contact_sheet

    with progress_bar("drawing pages") as advance:
        try:
            write_contact_sheet(query, found, archive, reader, model, sheet, adaptation, advance)
        except OSError as error:
            raise CorpusError(f"The sheet must be writable, but {sheet} is not: {error.strerror or error}.") from error


def _write(found: "Sequence[AlikePage]", path: Path) -> None:
    from core.corpora.csv_cells import harmless_row

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("rank", "path", "similarity"))
            for rank, each in enumerate(found, start=1):
                rows.writerow(harmless_row([rank, each.path, f"{each.similarity:.6g}"]))
    except OSError as error:
        raise CorpusError(f"The table must be writable, but {path} is not: {error.strerror or error}.") from error
