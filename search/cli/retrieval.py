"""`whosehand retrieval`: how well does a model find pages by the same hand?"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.wording import counted
from search.cli.asked_model import ModelOption, TrustOption, find_asked_model
from search.cli.common import (
    Overrides,
    StoreOption,
    complete_experiments,
    current_workspace,
    notes,
    output,
    print_table,
    print_warning,
    progress_bar,
)

if TYPE_CHECKING:
    from search.comparison.retrieval_report import RetrievalChoice, RetrievalReport

_NAMES = {
    "map": "mean average precision",
    "top1": "top-1",
    "top5": "top-5",
    "top10": "top-10",
    "eer": "equal error rate",
    "auroc": "AUROC",
}


PagesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="EXPERIMENT|FOLDER",
        help="An experiment's YAML file, or a folder of scans (or a CSV table of them) whose writers are known.",
        show_default=False,
        autocompletion=complete_experiments,
    ),
]
RerankOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Rerank by the N nearest pages; about as many as a hand has.", show_default="not"
    ),
]
AdaptOption = Annotated[
    bool,
    typer.Option(
        "--adapt/--no-adapt",
        help="Count less in what these pages differ most, be it scanners or pens; their writers need not be known.",
    ),
]
JoinOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Join N images of a writer to one page, as for single words.", show_default="not"
    ),
]
KnownWritersOption = Annotated[
    bool, typer.Option("--known-writers", help="Count writers that the model was trained on, too.")
]


def retrieval(
    pages: PagesArgument,
    model: ModelOption = None,
    overrides: Overrides = [],  # noqa: B006  (typer copies it)
    rerank: RerankOption = None,
    is_adapted: AdaptOption = True,
    patches: Annotated[int, typer.Option(min=1, help="Most patches of a page.")] = 64,
    join: JoinOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of joining and intervals.")] = 0,
    includes_known: KnownWritersOption = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    trust: TrustOption = False,
    uri: StoreOption = None,
) -> None:
    """Score how well a model finds pages by the same hand, each page a query.

    Every page ranks all others by how alike they are; pages by its own writer are the right
    answers. Pages whose writer has no other page are no queries. Intervals are over writers.

    The question is about hands that the model does not know: writers that it was trained on are
    left out. So are test pages that the experiment, or the model, keeps sealed.

    Examples: `whosehand retrieval scans --model dhsd`, or, for single words,
    `whosehand retrieval experiments/dhsd.yaml --join 10 --known-writers`.
    """
    from search.comparison.retrieval_report import RetrievalChoice, report_retrieval

    asked = find_asked_model(model, uri, trust)
    with _bars() as progress:
        found = report_retrieval(
            pages,
            asked.folder,
            asked.title,
            current_workspace(),
            RetrievalChoice(patches, join, rerank, is_adapted, includes_known, seed),
            overrides=overrides,
            runs_own_code=asked.runs_own_code,
            say=progress,
        )
    if as_json:
        output.print_json(json.dumps(found.as_json()))
    else:
        _print(found)


@contextmanager
def _bars() -> Iterator[Callable[[str], Callable[[int, int], None]]]:
    """A bar for each step: the next one takes the place of the one before."""
    with ExitStack() as shown:

        def begin(label: str) -> Callable[[int, int], None]:
            shown.close()
            return shown.enter_context(progress_bar(label))

        yield begin


def _print(found: "RetrievalReport") -> None:
    scores = found.scores
    rows = [
        (
            _NAMES[name],
            _percent(value),
            f"{_percent(scores.intervals[name][0])} to {_percent(scores.intervals[name][1])}",
        )
        for name, value in scores.metrics.items()
    ]
    output.print(
        f"{found.corpus}: {counted(len(scores.queries), 'query', 'queries')} among "
        f"{counted(scores.n_pages, found.item)} by {counted(scores.n_writers, 'writer')}"
    )
    print_table(("score", "found", "95 % interval"), rows)
    if scores.n_excluded:
        notes.print(f"no query, because the writer has no other {found.item}: {scores.n_excluded:,}")
    if found.n_left_over:
        notes.print(f"on no joined page, because they were too few to fill one: {counted(found.n_left_over, 'image')}")
    if found.n_unusable:
        notes.print(f"not used, because no handwriting could be read: {counted(found.n_unusable, 'image')}")
    if found.pages.n_sealed:
        notes.print(
            f"left out, because they stay sealed for a promotion's test: {counted(found.pages.n_sealed, 'image')}"
        )
    if found.pages.n_known_writers and not found.choice.includes_known:
        notes.print(
            f"left out, because the model was trained on them: {counted(found.pages.n_known_writers, 'writer')}"
        )
    output.print(f"compared by: {_way(found.choice)}")
    output.print(f"model: {found.model}")
    if found.pages.n_known_writers and found.choice.includes_known:
        print_warning(
            f"the model was trained on {counted(found.pages.n_known_writers, 'writer')} of these: this is optimistic "
            "for hands that it does not know"
        )


def _way(choice: "RetrievalChoice") -> str:
    adapted = ", adapted to these pages" if choice.is_adapted else ""
    reranked = "" if choice.n_neighbours is None else f", reranked by {counted(choice.n_neighbours, 'neighbour')}"
    return f"the mean of at most {counted(choice.per_page, 'patch', 'patches')} a page{adapted}{reranked}"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
