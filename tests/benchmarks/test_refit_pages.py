from pathlib import Path

import pytest

from benchmarks.refit_pages import QUESTIONS, Question, divide
from core.corpora.index import CorpusIndex, TextImage
from core.splits.by_page import split_pages
from core.splits.manifest import SplitManifest
from core.splits.settings import SplitSettings


def corpus(n_pages: int) -> tuple[CorpusIndex, SplitManifest]:
    """Three writers with so many pages of two lines, a fifth of them sealed."""
    images = tuple(
        TextImage(f"{writer}-{page}-{line}", Path("none.png"), writer, page_id=f"{writer}-{page}")
        for writer in "abc"
        for page in range(n_pages)
        for line in range(2)
    )
    index = CorpusIndex("made", Path(), images)
    return index, split_pages(index, SplitSettings())


@pytest.mark.parametrize("question", [each for questions in QUESTIONS.values() for each in questions], ids=str)
def test_both_kinds_are_judged_on_the_same_pages_and_one_trains_on_more(question: Question) -> None:
    prepared = corpus(question.n_given + question.n_judged + 3)
    for repeat in range(3):
        less, whole = divide(*prepared, question, repeat).values()
        assert less.validation == whole.validation
        assert (less.test, whole.test) == ((), ())
        assert set(less.train) < set(whole.train)
        n_pages = {
            name: len({image[:-2] for image in ids}) // 3
            for name, ids in (("less", less.train), ("whole", whole.train), ("judged", less.validation))
        }
        assert n_pages == {
            "less": question.n_given - question.n_validation,
            "whole": question.n_given,
            "judged": question.n_judged,
        }
        assert not {*whole.train, *whole.validation} & set(prepared[1].test)


def test_repeats_are_drawn_from_the_same_pages_of_each_writer() -> None:
    prepared, question = corpus(10), Question(2, 1, "page")
    drawn = [divide(*prepared, question, repeat)["all_but_test"] for repeat in range(5)]
    assert len({frozenset({*each.train, *each.validation}) for each in drawn}) == 1
    assert len({each.validation for each in drawn}) > 1
    assert drawn[0] == divide(*prepared, question, 0)["all_but_test"]


def test_a_writer_with_too_few_pages_is_named() -> None:
    with pytest.raises(ValueError, match="Writer a must have 10 words, but has 3"):
        divide(*corpus(4), Question(8, 2, "word"), 0)
