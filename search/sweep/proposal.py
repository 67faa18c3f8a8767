"""A first experiment for a folder of scans: its layout, its writers, and a budget that this machine
can keep.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from core.corpora.catalogue import open_corpus
from core.corpora.index import CorpusIndex
from core.corpora.resemblance import Resemblance, found_below, resembling_layout
from core.errors import CorpusError
from core.networks.presets import find_preset
from core.training.plan import choose_precision
from core.wording import counted
from search.executors.machine import count_cores
from search.experiment.experiment import Experiment
from search.experiment.space_settings import PresetName

_FEWEST_PAGES = 3  # of a writer: one to train on, one for validation, one for the test
_EPOCHS, _PATCHES_PER_EPOCH = 8, 10_000
_WITH_VALIDATION = 1.3  # a trial's time beside that of its training alone
_TRIALS, _LONGEST_MINUTES = 20, 120
_MEASURE_S = 3.0
_LONGEST_TRIAL_MINUTES = 6.0


@dataclass(frozen=True)
class Proposal:
    """An experiment for scans, and what it was made from.

    Attributes:
        experiment: the proposal.
        stated: the same as a file says it, with what is worth seeing though it is the default.
        like: the layout that was recognised.
        n_writers: found, before any is excluded.
        n_pages: found, all writers together; images, where the corpus has no pages.
        pages_per_writer: the fewest, the median and the most.
        n_excluded_writers: writers with too few pages to be trained, validated and tested on.
        item: `page` or `image`.
        patches_per_s: that this machine trains; `None` where it was not measured.
    """

    experiment: Experiment
    stated: Mapping[str, Any]
    like: Resemblance
    n_writers: int
    n_pages: int
    pages_per_writer: tuple[int, float, int]
    n_excluded_writers: int
    item: str
    patches_per_s: float | None

    @property
    def each_writers(self) -> str:
        """How many pages each writer has, in words."""
        fewest, middle, most = self.pages_per_writer
        return f"{most} a writer" if fewest == most else f"{fewest} to {most} a writer, median {middle:g}"

    def to_yaml(self, path: Path) -> str:
        """The experiment file, with comments that explain it.

        Args:
            path: under which it will be written; the commands in it name it.
        """
        sections = [
            _HEADER.format(
                path=path,
                name=self.experiment.name,
                title=self.like.title[:1].upper() + self.like.title[1:],
                item=self.item,
            )
        ]
        for group, comment in _COMMENTS.items():
            if group in self.stated:
                style = None if isinstance(self.stated[group], Mapping) else False
                stated = {group: self.stated[group]}
                text = yaml.safe_dump(stated, sort_keys=False, default_flow_style=style, width=80)
                said = comment.format(**self._facts())
                sections.append("".join(f"# {line}\n" for line in said.splitlines()) + text)
        return "\n".join(sections)

    def _facts(self) -> dict[str, Any]:
        speed = "Speed was not measured." if self.patches_per_s is None else f"Measured: {self.patches_per_s:,.0f} "
        return {
            "found": f"{self.n_writers} writers, {self.n_pages:,} {self.item}s ({self.each_writers})",
            "excluded": f"{self.n_excluded_writers} {'writer has' if self.n_excluded_writers == 1 else 'writers have'}",
            "item": self.item,
            "least": _FEWEST_PAGES,
            "speed": speed if self.patches_per_s is None else f"{speed}patches a second in training.",
        }


_HEADER = """\
# {title}. Written by `whosehand init`; change whatever you like.
#
# Count what is there, and list what cannot be used:
#   whosehand data stats {path}
# Search; Ctrl-C is safe, and the same command resumes:
#   whosehand sweep {path}
# Retrain the best trial, test it on the sealed {item}s, register it:
#   whosehand promote {name}
#
# `whosehand keys` explains every key, `whosehand keys space` every hyperparameter.
"""
_COMMENTS = {
    "name": "The sweep, its folder in mlruns/sweeps and its model are called so.",
    "description": "A few words for those who read the records later.",
    "seed": "The same seed gives the same trials (with one worker).",
    "corpus": "Found here: {found}.",
    "writers": "{excluded} fewer than {least} {item}s: too few to train, validate and test on.",
    "split": "Shares of whole {item}s, for each writer alike. The test share stays sealed until `promote`.",
    "patches": "An epoch is this many patches, whatever the size of the corpus.",
    "space": "What is searched: networks that cost little (`small` is quicker, `large` takes many hours).\n"
    "Tried first: the middle of the preset, then the published seed recipe.",
    "engine": "Who searches; trials that are worse than the median end early.",
    "training": "Epochs of a trial; promotion trains longer.",
    "budget": "The sweep ends at the first of these. {speed}",
    "promotion": "Epochs of the promoted model.",
}
_HOW: dict[str, Any] = {
    "engine": "auto",
    "training": {"epochs": _EPOCHS},
    "promotion": {"epochs": 3 * _EPOCHS},
}
"""What is proposed whatever the scans are."""


def propose_experiment(folder: Path, name: str | None = None, *, measures_speed: bool = True) -> Proposal:
    """Look at a folder of scans, and propose an experiment.

    Args:
        folder: with the scans, or a table of them.
        name: of the experiment; made of the folder's where not given.
        measures_speed: whether to train for some seconds, for the budget.

    Raises:
        CorpusError: if no layout is recognised, or there are too few writers or pages.
    """
    like = resembling_layout(folder)
    if like is None:
        raise CorpusError(
            f"{folder} looks like no known corpus: {found_below(folder)}. Put each writer's scans into a folder of "
            "their own, or write a table of images with the columns path and writer (docs/corpora.md)."
        )
    key = "file" if like.layout == "manifest" else "root"
    corpus = {"layout": like.layout, key: str(like.root)}
    named = name or _name_of(like.root)
    first = {"name": named, "corpus": corpus, "budget": {"trials": _TRIALS}}
    index = open_corpus(Experiment.model_validate(first).handwriting, folder).index()
    counts = _groups_by_writer(index)
    item = "page" if index.has_pages else "image"
    kept = _with_enough_pages(counts, item, folder)
    preset, speed = _choose_preset(len(kept)) if measures_speed else ("standard", None)
    stated = {
        "name": named,
        "description": f"{counted(len(kept), 'writer')}, {counted(sum(kept.values()), item)}: {like.title}.",
        "seed": 1,
        "corpus": corpus,
        **({"writers": {"min_pages": _FEWEST_PAGES}} if len(kept) < len(counts) else {}),
        "split": {"validation": 0.2} if _has_official_test(index) else {"validation": 0.2, "test": 0.2},
        "patches": {"patches_per_epoch": _PATCHES_PER_EPOCH},
        "space": {"preset": preset},
        **_HOW,
        "budget": _budget(speed),
    }
    numbers = sorted(counts.values())
    return Proposal(
        experiment=Experiment.model_validate(stated),
        stated=stated,
        like=like,
        n_writers=len(counts),
        n_pages=sum(numbers),
        pages_per_writer=(numbers[0], median(numbers), numbers[-1]),
        n_excluded_writers=len(counts) - len(kept),
        item=item,
        patches_per_s=speed,
    )


def _with_enough_pages(counts: Mapping[str, int], item: str, folder: Path) -> dict[str, int]:
    kept = {writer: n for writer, n in counts.items() if n >= _FEWEST_PAGES}
    if len(kept) < 2:
        raise CorpusError(
            f"Two writers with {_FEWEST_PAGES} {item}s or more are needed, to train, validate and test on, but of the "
            f"{len(counts)} in {folder} {len(kept)} have that many."
        )
    return kept


def _groups_by_writer(index: CorpusIndex) -> dict[str, int]:
    groups: dict[str, set[str]] = {}
    for image in index.images:
        groups.setdefault(image.writer_id, set()).add(image.group_id)
    return {writer: len(found) for writer, found in groups.items()}


def _has_official_test(index: CorpusIndex) -> bool:
    return any(image.official_split == "test" for image in index.images)


def _name_of(root: Path) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", root.absolute().stem.lower()).strip("-")
    return words[:60].strip("-") or "scans"


def _choose_preset(n_writers: int) -> tuple[PresetName, float]:
    """The standard networks where a trial of them takes some minutes, else the small ones; and how
    fast they train.
    """
    speed = _measure("standard", n_writers)
    if _trial_min(speed) <= _LONGEST_TRIAL_MINUTES:
        return "standard", speed
    return "small", _measure("small", n_writers)


def _measure(preset: PresetName, n_writers: int) -> float:
    # Imported here, because TensorFlow takes seconds, and without the measurement nothing needs it.
    from core.networks.quiet_tensorflow import quiet_stderr
    from core.training.speed import measure_training_speed

    with quiet_stderr():
        return measure_training_speed(
            find_preset(preset).middle,
            113,
            n_writers,
            threads=count_cores(),
            precision=choose_precision("auto"),
            seconds=_MEASURE_S,
        )


def _budget(patches_per_s: float | None) -> dict[str, int]:
    """Time for the trials at the measured speed, but not more than an evening."""
    if patches_per_s is None:
        return {"trials": _TRIALS}
    minutes = math.ceil(_TRIALS * _trial_min(patches_per_s))
    return {"trials": _TRIALS, "minutes": min(_LONGEST_MINUTES, max(5, minutes))}


def _trial_min(patches_per_s: float) -> float:
    return _EPOCHS * _PATCHES_PER_EPOCH * _WITH_VALIDATION / patches_per_s / 60
