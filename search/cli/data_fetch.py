"""`whosehand data fetch`: get a corpus that is free, or say how to get one that wants a
registration.
"""

import dataclasses
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.filesize import decimal

from search.cli.common import notes, output, progress_bar

if TYPE_CHECKING:
    from core.corpora.fetch import FetchReport

_SHOWN_FAILURES = 10

_IAM = """\
The IAM Handwriting Database 3.0 may be used for research that is not commercial. Only you can register:

  1. Register at https://fki.tic.heia-fr.ch/databases/iam-handwriting-database and accept its terms.
  2. Download ascii.tgz (the tables: always needed), and the images of the unit that you want: sentences.tgz, lines.tgz,
     words.tgz, or formsA-D.tgz, formsE-H.tgz and formsI-Z.tgz.
  3. Unpack each into a folder of its name:

{to}/
    ascii/forms.txt, sentences.txt, lines.txt, words.txt
    sentences/a01/a01-000u/a01-000u-s00-00.png     unit: sentence
    lines/a01/a01-000u/a01-000u-00.png             unit: line
    words/a01/a01-000u/a01-000u-00-00.png          unit: word
    formsA-D/a01-000u.png, formsE-H, formsI-Z      unit: form

  4. Look at it, then sweep; `experiments/iam50-forms.yaml` is the same for whole forms:

whosehand data stats experiments/iam50.yaml --set corpus.root={to}
whosehand sweep experiments/iam50.yaml --set corpus.root={to}
"""

_CVL = """\
The CVL Database 1.1 may be used for research; read its terms before you use it. Only you can accept them:

  1. Find "CVL-Database" among the databases of the Computer Vision Lab, TU Wien, at https://cvl.tuwien.ac.at, and
     accept its terms.
  2. Download cvl-database-1-1.zip and unpack it:

{to}/
    trainset/pages/0001-1.tif, 0001-1-cropped.tif              unit: page
    trainset/lines/0001/0001-1-0.tif                           unit: line
    trainset/words/0001/0001-1-0-0-Imagine.tif                 unit: word
    testset/...                                                the same: the corpus's own test writers

  3. Copy experiments/iam50-forms.yaml to experiments/cvl.yaml, and let it say (CVL's test writers are other people than
     its training writers; whosehand tells known writers apart, so it divides the pages of each):

corpus:
  layout: cvl
  root: {to}
  unit: page
split:
  official: ignore
  validation: 0.2
  test: 0.2

  4. Look at it, then sweep:

whosehand data stats experiments/cvl.yaml
whosehand sweep experiments/cvl.yaml
"""


class Fetchable(StrEnum):
    """A corpus that can be fetched or that it is told how to get."""

    DHSD = "dhsd"
    IAM = "iam"
    CVL = "cvl"


def fetch(
    corpus: Annotated[Fetchable, typer.Argument(help="Which corpus.", show_default=False)],
    to: Annotated[Path | None, typer.Option("--to", help="The folder; data/<corpus> if not said.")] = None,
    address: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="A mirror of the pinned commit's files; dhsd only.")
    ] = None,
) -> None:
    """Get DHSD, checked file by file; or say how to get IAM and CVL, and what to put where."""
    # Imported here, because `requests` takes 0.1 s that every other command would wait for, too.
    from core.corpora.fetch import DHSD, fetch_corpus

    folder = Path("data") / corpus.value if to is None else to
    if corpus is not Fetchable.DHSD:
        output.print((_IAM if corpus is Fetchable.IAM else _CVL).format(to=folder.as_posix()), end="")
        return
    published = DHSD if address is None else dataclasses.replace(DHSD, address=address)
    notes.print(f"fetching {published.name} from {published.address} to {folder}")
    with progress_bar("fetching files") as advance:
        report = fetch_corpus(published, folder, advance=advance)
    _print(report)
    if not report.is_whole:
        raise typer.Exit(1)


def _print(report: "FetchReport") -> None:
    output.print(
        f"{report.folder}: {report.n_files:,} files, of which {report.n_kept:,} were there, {report.n_fetched:,} came "
        f"({decimal(report.n_bytes)}) and {len(report.failures):,} are missing",
        markup=False,
    )
    if report.is_whole:
        output.print("every file has its published SHA-256")
        return
    for failure in report.failures[:_SHOWN_FAILURES]:
        notes.print(f"missing: {failure.path}: {failure.reason}")
    if len(report.failures) > _SHOWN_FAILURES:
        notes.print(f"... and {len(report.failures) - _SHOWN_FAILURES:,} more")
    notes.print("Run the same command again: it goes on with what is missing.")
