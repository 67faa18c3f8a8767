"""What an experiment file says about the split."""

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from core.settings import IdList, Settings

LeakyUnit = Literal["line", "patch"]
N_FOLDS = 3
"""Of cross-fits (`core.splits.cross_fitting`)."""
_ALWAYS_WRITTEN = ("validation", "test", "official", "too_few_pages", "seed")


class FoldSettings(Settings):
    """One rotation of a k-fold: fold k of the pages that are not sealed validates, the rest
    trains.
    """

    n: int | Literal["pages"] = Field(default=5)
    """How many folds; `pages` leaves one page of every writer out, in as many rotations as a writer
    has pages."""

    fold: int = Field(default=1, ge=1)
    """Which rotation, counted from 1. A sweep has one: give each rotation a `name` of its own."""

    @model_validator(mode="after")
    def _fold_is_one_of_them(self) -> Self:
        if self.n != "pages" and self.n < 2:
            raise ValueError(f"`n` must be 2 or more, or `pages`, but got {self.n}")
        if self.n != "pages" and self.fold > self.n:
            raise ValueError(f"`fold <= n` must hold, but got fold={self.fold}, n={self.n}")
        return self

    @property
    def least_pages(self) -> int:
        """Pages that a writer must have outside the test subset, so that they are in every fold."""
        return 2 if self.n == "pages" else self.n


class ListSettings(Settings):
    """The user's own division: lists of page ids, or of image ids, a file with one id a line or the
    ids in quotes.
    """

    train: IdList
    """To train on: the ids in quotes, or a file with one id a line."""

    validation: IdList | None = None
    """That the search is judged on: ids in quotes, or a file; `null` deals `split.validation` of
    each writer's pages out of `train`."""

    test: IdList | None = None
    """Sealed until promotion: ids in quotes, or a file; `null` seals none."""


class SplitSettings(Settings):
    """How a corpus is divided."""

    kind: Literal["page", "text", "writer"] = "page"
    """What no two subsets share: a page; a page and a text; or a writer. By writer, a sweep is
    judged on how well pages by the same hand are found (`val/retrieval_map`)."""
    validation: float = Field(default=0.2, gt=0.0, lt=1.0)
    """The share of each writer's pages that the search is judged on, at least one page; by writer
    the share of the writers."""
    test: float = Field(default=0.2, ge=0.0, lt=1.0)
    """The share of each writer's pages that stay sealed until promotion, at least one page; by
    writer the share of the writers; 0 seals none."""
    official: Literal["auto", "use", "ignore"] = "auto"
    """Whether the corpus's own test subset is the test subset: where there is one, always (else
    refuse), or never. Its train subset is then divided into train and validation. Only for `kind:
    page`."""
    too_few_pages: Literal["error", "leave_out"] = "error"
    """What to do with a writer who has too few pages for all subsets."""
    seed: int = Field(default=0, ge=0)
    """Which of a writer's pages go where; by writer, which writers."""
    folds: FoldSettings | None = None
    """A rotation of a k-fold instead of the share `validation`; the test subset is the same in all
    of them."""
    lists: ListSettings | None = None
    """The user's own division instead of any share."""
    leaky: LeakyUnit | None = None
    """Divide what is not sealed by line or by patch, over the same pages: scores that say nothing
    about new pages, to show what such a division is worth. Every run and report is marked, and
    nothing is promoted."""

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.validation + self.test >= 1.0:
            raise ValueError(
                f"`validation + test < 1` must hold, but got validation={self.validation}, test={self.test}."
            )
        special = {
            f"kind: {self.kind}": self.kind != "page",
            "folds": self.folds is not None,
            "lists": self.lists is not None,
            "leaky": self.leaky is not None,
        }
        said = [name for name, is_said in special.items() if is_said]
        if len(said) > 1:
            raise ValueError(
                f"only one of kind, folds, lists and leaky can say how to divide, but got {' and '.join(said)}"
            )
        if self.official == "use" and (self.kind != "page" or self.lists is not None):
            raise ValueError(f"`official: use` is a division by page already, but got {said[0]} too")
        return self

    def as_json(self) -> dict[str, Any]:
        """Plain values; what younger versions added is there only where it is not the default.

        So the same division has the same hash as it always had.
        """
        values = self.model_dump(mode="json")
        defaults = SplitSettings().model_dump(mode="json")
        return {key: value for key, value in values.items() if key in _ALWAYS_WRITTEN or value != defaults[key]}
