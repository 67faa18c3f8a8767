"""`whosehand index` and `whosehand find`: which pages of an archive are most like this one?"""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import CorpusError, ImageError
from core.wording import counted
from search.cli.asked_model import AskedModel, ModelOption, TrustOption, find_asked_model
from search.cli.common import (
    StoreOption,
    current_workspace,
    labelled,
    notes,
    output,
    print_table,
    progress_bar,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from search.identification.page_index import AlikePage, IndexTally
    from search.identification.page_reader import PageReader


def index(
    pages: Annotated[
        list[Path], typer.Argument(metavar="PAGE...", help="Images, or folders of them.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="INDEX", help="The index's folder; made, or extended.")],
    model: ModelOption = None,
    trust: TrustOption = False,
    uri: StoreOption = None,
) -> None:
    """Describe the pages of an archive, and keep the descriptions in an index for `find`.

    Nobody needs to know who wrote them. Pages that are in the index are passed over: run it again
    when pages have come. Ctrl-C is safe; the same command goes on. Pages are known by their paths,
    so that moved ones are new.
    """
    from core.corpora.image_walk import expand_folders
    from search.identification.page_index import extend_index

    files = expand_folders(pages)
    reader = _reader(find_asked_model(model, uri, trust))
    with progress_bar("describing pages") as advance:
        tally = extend_index(out, files, reader, advance)
    _print_skipped(tally)
    output.print(f"{out}: {counted(tally.n_added, 'page')} added, {tally.n_known:,} were there")
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
    trust: TrustOption = False,
    uri: StoreOption = None,
) -> None:
    """Find the pages of an archive that are most like one page.

    A folder is indexed first, into data/indexes; the next time only new pages are described. The
    similarity ranks pages; it is no probability that one hand wrote them. `whosehand retrieval`
    says how often the first ones are right, on pages whose writers are known.
    """
    from core.retrieval.descriptor_index import DescriptorIndex
    from search.identification.page_index import find_alike, index_folder, is_index, only_page

    wanted = only_page(page)
    if not place.is_dir():
        raise ImageError(f"--in must name a folder of images or an index, but {place} is no folder.")
    asked = find_asked_model(model, uri, trust)
    reader = _reader(asked)
    if not is_index(place):
        with progress_bar("describing pages") as advance:
            place, tally = index_folder(place, current_workspace().indexes, reader, advance)
        _print_skipped(tally)
    found = find_alike(DescriptorIndex.open(place), wanted, reader, top)
    if table is not None:
        _write(found, table)
    if as_json:
        alike = [{"path": each.path, "similarity": each.similarity} for each in found]
        output.print_json(json.dumps({"query": str(page), "model": asked.title, "found": alike}))
    else:
        rows = [(str(rank), each.path, f"{each.similarity:.3f}") for rank, each in enumerate(found, start=1)]
        print_table(("rank", "page", "similarity"), rows, n_text_columns=2, path_column=1)
        output.print(f"model: {asked.title}")


def _reader(model: AskedModel) -> "PageReader":
    from search.identification.page_reader import PageReader

    with notes.status("loading the model"):
        return PageReader.load(model.folder, runs_own_code=model.runs_own_code)


def _print_skipped(tally: "IndexTally") -> None:
    for image in tally.unreadable:
        notes.print(labelled("skipped", image.reason, "yellow"))


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
