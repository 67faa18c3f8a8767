from typing import Any

import pytest
from pydantic import ValidationError

from core.splits.settings import SplitSettings


def read(**settings: Any) -> SplitSettings:
    return SplitSettings.model_validate(settings)


def test_the_default_division_is_written_as_it_always_was() -> None:
    assert read().as_json() == {
        "validation": 0.2,
        "test": 0.2,
        "official": "auto",
        "too_few_pages": "error",
        "seed": 0,
    }


def test_another_kind_of_division_is_written_too() -> None:
    assert read(kind="text").as_json()["kind"] == "text"
    assert read(folds={"n": 3, "fold": 2}).as_json()["folds"] == {"n": 3, "fold": 2}


@pytest.mark.parametrize(
    "two",
    [
        {"kind": "text", "leaky": "line"},
        {"kind": "writer", "folds": {}},
        {"folds": {}, "lists": {"train": ["a"]}},
        {"lists": {"train": ["a"]}, "leaky": "patch"},
    ],
)
def test_two_ways_to_divide_are_refused(two: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="only one of kind, folds, lists and leaky"):
        read(**two)


@pytest.mark.parametrize("more", [{"kind": "text"}, {"kind": "writer"}, {"lists": {"train": ["a"]}}])
def test_an_official_division_cannot_be_divided_otherwise(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="`official: use` is a division by page already"):
        read(official="use", **more)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ({"n": 1}, "2 or more, or `pages`, but got 1"),
        ({"n": 3, "fold": 4}, "fold=4, n=3"),
        ({"n": 3, "fold": 0}, "greater than or equal to 1"),
        ({"n": "all"}, "'pages'"),
    ],
)
def test_folds_that_cannot_be_are_refused(folds: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(folds=folds)


def test_the_unit_of_a_leak_is_a_line_or_a_patch() -> None:
    with pytest.raises(ValidationError, match="'line' or 'patch'"):
        read(leaky="page")
