"""The IAM Handwriting Database 3.0, as it is downloaded: forms by some 650 writers who copied
English prompts.

    ascii/forms.txt, lines.txt, sentences.txt, words.txt      the tables; they may also lie in the root
    formsA-D/a01-000u.png, formsE-H, formsI-Z                 unit `form`
    lines/a01/a01-000u/a01-000u-00.png                        unit `line`
    sentences/a01/a01-000u/a01-000u-s00-00.png                unit `sentence`
    words/a01/a01-000u/a01-000u-00-00.png                     unit `word`

Images may also lie flat in their folder, or in the root. Who wrote a form is said by `forms.txt`
alone, under the full id of the form: `a01-000u` and `a01-000x` are the same prompt in two hands. A
form is a page; a form's image bears the prompt in print above the handwriting, and a line for the
name below it.

Source: Marti, Bunke, "The IAM-database: an English sentence database for offline handwriting
recognition", IJDAR 2002; https://fki.tic.heia-fr.ch/databases/iam-handwriting-database

Where the images of the IAM Handwriting Database lie, and what each shows by its name.
"""  # noqa: W505

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from core.corpora.iam_tables import FORM_ID, IamForm, IamPart, IamTable, read_forms, read_parts
from core.corpora.image_walk import one_file_each, walk_pruned
from core.corpora.index import AmountName, CorpusIndex, Excluded, TextImage
from core.corpora.named_files import check_writers
from core.corpora.resemblance import layout_error, resembling_layout
from core.corpora.settings import IamSettings, IamUnit
from core.errors import CorpusError

EXAMPLES: dict[IamUnit, str] = {
    "form": "formsA-D/a01-000u.png",
    "line": "lines/a01/a01-000u/a01-000u-00.png",
    "sentence": "sentences/a01/a01-000u/a01-000u-s00-00.png",
    "word": "words/a01/a01-000u/a01-000u-00-00.png",
}
"""Of a file of each unit, below the root."""
_NAMES: dict[IamUnit, re.Pattern[str]] = {
    "form": re.compile(FORM_ID),
    "line": re.compile(rf"{FORM_ID}-\d+"),
    "sentence": re.compile(rf"{FORM_ID}-s\d+-\d+"),
    "word": re.compile(rf"{FORM_ID}-\d+-\d+"),
}
_UNIT_OF_FOLDER: dict[str, IamUnit] = {
    **dict.fromkeys(("forms", "formsa-d", "formse-h", "formsi-z"), "form"),
    "lines": "line",
    "sentences": "sentence",
    "words": "word",
}


@dataclass(frozen=True)
class IamFiles:
    """The images below a root.

    Attributes:
        by_id: the file of each IAM id of the unit that was asked for, in natural order.
        other_units: of which there are images too.
        unusable: images that bear no name of IAM's.
        not_chosen: images of other units (a folder of IAM's as a whole), and second files of one
            image.
    """

    by_id: dict[str, Path]
    other_units: tuple[IamUnit, ...]
    unusable: tuple[Excluded, ...]
    not_chosen: tuple[Excluded, ...]


def find_iam_files(root: Path, unit: IamUnit) -> IamFiles:
    """Look for the images of one unit below a root, however deep. A name decides, not the folder.

    IAM's folders of other units are not walked: there are 115,000 words.
    """
    foreign = _folders_of_others(root, unit)
    fitting: list[Path] = []
    unusable: list[Excluded] = []
    not_chosen: list[Excluded] = []
    other_units: dict[IamUnit, None] = {}
    for place in walk_pruned(root, foreign, unusable):
        shown = foreign.get(place) or _unit_of_name(place.stem)
        if shown == unit:
            fitting.append(place)
        elif shown is None:
            unusable.append(Excluded(place, f"is not named like {EXAMPLES[unit].rpartition('/')[2]}"))
        else:
            other_units[shown] = None
            shows = f"holds images of {shown}s" if place in foreign else f"shows a {shown}"
            not_chosen.append(Excluded(place, f"{shows}; `corpus.unit` is {unit}"))
    by_id, others = one_file_each(fitting, lambda file: file.stem, ".png")
    return IamFiles(by_id, tuple(other_units), tuple(unusable), (*not_chosen, *others))


def _folders_of_others(root: Path, unit: IamUnit) -> dict[Path, IamUnit]:
    units = {place: _UNIT_OF_FOLDER.get(place.name.lower(), unit) for place in root.iterdir() if place.is_dir()}
    return {place: other for place, other in units.items() if other != unit}


def _unit_of_name(stem: str) -> IamUnit | None:
    return next((unit for unit, name in _NAMES.items() if name.fullmatch(stem)), None)


_MAX_NAMED = 3  # of the parts of a form that have no image


class IamCorpus:
    """Joins the tables with the names of the images; the images are not opened."""

    def __init__(self, settings: IamSettings) -> None:
        self._settings = settings

    def index(self) -> CorpusIndex:
        """List the images in the order of the unit's table.

        Whoever downloads a part of IAM has a part of its forms: forms without any image are not
        chosen (one entry a writer), and count in no amount. Unusable are faulty rows of the tables,
        rows without an image of forms that have others (one entry a form), and images that the
        tables do not know. Hidden files and files that are no images are passed over.

        Raises:
            CorpusError: if the folder is missing or of another layout, if a table is missing or
                damaged, if there are no images of the unit, or if fewer than two writers have
                images.
        """
        root, unit = self._settings.root, self._settings.unit
        forms = read_forms(_table(root, "forms"))
        parts = _forms_as_parts(forms) if unit == "form" else read_parts(_table(root, f"{unit}s"), unit)
        files = find_iam_files(root, unit)
        if not files.by_id:
            raise _no_images(root, unit, files)
        joined = _join(parts, forms, files.by_id, self._settings)
        check_writers(joined.images, "iam", root)
        return CorpusIndex(
            "iam",
            root,
            tuple(joined.images),
            unusable=(*forms.faults, *parts.faults, *files.unusable, *joined.unusable),
            amounts=_amounts(form for form in forms.rows.values() if form.form_id in joined.form_ids),
            not_chosen=(*files.not_chosen, *joined.not_chosen),
        )


@dataclass
class _Joined:
    images: list[TextImage] = field(default_factory=list)
    unusable: list[Excluded] = field(default_factory=list)
    not_chosen: list[Excluded] = field(default_factory=list)

    @property
    def form_ids(self) -> set[str]:
        """Those that have images."""
        return {str(image.page_id) for image in self.images}


def _join(
    parts: IamTable[IamPart], forms: IamTable[IamForm], files: Mapping[str, Path], settings: IamSettings
) -> _Joined:
    """Every row and every file ends in one of the three lists."""
    joined = _Joined()
    lacking: defaultdict[str, list[str]] = defaultdict(list)
    for part in parts.rows.values():
        file, form = files.get(part.image_id), forms.rows.get(part.form_id)
        if file is None:
            lacking[part.form_id].append(part.image_id)
        elif form is None:
            joined.unusable.append(Excluded(file, f"is of form {part.form_id}, which {forms.path} does not name"))
        elif settings.segmentation == "ok" and not part.is_ok:
            joined.not_chosen.append(Excluded(file, f"is marked err in {parts.path}; `corpus.segmentation` is ok"))
        else:
            joined.images.append(_text_image(file, part, form, settings.unit))
    joined.unusable += [
        Excluded(file, f"has no row in {parts.path}") for image_id, file in files.items() if image_id not in parts.rows
    ]
    n_rows = Counter(part.form_id for part in parts.rows.values())
    absent = {form_id for form_id, ids in lacking.items() if len(ids) == n_rows[form_id] and form_id in forms.rows}
    joined.not_chosen += _absent_forms(absent, forms)
    for form_id, ids in lacking.items():
        if form_id in absent:
            continue
        reason = _lack(form_id, ids, n_rows[form_id], settings.unit)
        form = forms.rows.get(form_id)
        unknown = "" if form else f", and {forms.path} does not name the form"
        joined.unusable.append(Excluded(parts.path, reason + unknown, writer_id=form.writer_id if form else None))
    return joined


def _absent_forms(absent: Set[str], forms: IamTable[IamForm]) -> Iterator[Excluded]:
    """What of each writer was not downloaded."""
    of_writer = Counter(form.writer_id for form in forms.rows.values())
    n_absent = Counter(form.writer_id for form_id, form in forms.rows.items() if form_id in absent)
    for writer_id, n in n_absent.items():
        n_all = of_writer[writer_id]
        yield Excluded(forms.path, f"writer {writer_id!r}: {n_all - n} of {n_all} forms are here", writer_id=writer_id)


def _text_image(file: Path, part: IamPart, form: IamForm, unit: IamUnit) -> TextImage:
    return TextImage(
        image_id=part.image_id,
        path=file,
        writer_id=form.writer_id,
        page_id=form.form_id,
        unit="form" if unit == "form" else "line",
        text_id=form.text_id,
        text=part.text,
    )


def _forms_as_parts(forms: IamTable[IamForm]) -> IamTable[IamPart]:
    """Each form as the one part of itself. The faults stay with the table they are of."""
    rows = {form_id: IamPart(form_id, form_id, is_ok=True, text=None) for form_id in forms.rows}
    return IamTable(forms.path, rows, faults=())


def _amounts(forms: Iterable[IamForm]) -> dict[AmountName, dict[str, int]]:
    """How much each writer wrote on these forms, by the tables."""
    amounts: dict[AmountName, dict[str, int]] = {"forms": {}, "sentences": {}, "lines": {}}
    for form in sorted(forms, key=lambda form: form.writer_id):
        for of_writer, n in zip(amounts.values(), (1, form.n_sentences, form.n_lines), strict=True):
            of_writer[form.writer_id] = of_writer.get(form.writer_id, 0) + n
    return amounts


def _lack(form_id: str, ids: list[str], n_rows: int, unit: IamUnit) -> str:
    more = ", ..." if len(ids) > _MAX_NAMED else ""
    return f"{len(ids)} of {n_rows} {unit}s of form {form_id} have no image: {', '.join(ids[:_MAX_NAMED])}{more}"


def _table(root: Path, name: str) -> Path:
    table = _find_table(root, name)
    if table is not None:
        return table
    like = resembling_layout(root)
    if like is None or (like.layout, like.root) != ("iam", root):
        raise layout_error("iam", root, f"the table {name}.txt, in a folder ascii or in the root itself,")
    above = next((place for place in root.absolute().parents if _find_table(place, name) is not None), None)
    fix = f"Download ascii.tgz and unpack it in {root / 'ascii'}." if above is None else f"Set `corpus.root: {above}`."
    raise CorpusError(
        f"IAM's tables must lie in {root / 'ascii'} or {root}, but {name}.txt is in neither, and only they say who "
        f"wrote what. {fix}"
    )


def _find_table(root: Path, name: str) -> Path | None:
    return next((file for place in (root / "ascii", root) if (file := place / f"{name}.txt").is_file()), None)


def _no_images(root: Path, unit: IamUnit, files: IamFiles) -> CorpusError:
    error = layout_error("iam", root, f"images of {unit}s, such as {EXAMPLES[unit]},")
    if not files.other_units:
        return error
    return CorpusError(
        f"{error} There are images of {files.other_units[0]}s: set `corpus.unit: {files.other_units[0]}`."
    )
