"""The texts of the generated pages."""

from itertools import islice, pairwise

import numpy as np

from core.handwriting.skeletons import allographs
from core.handwriting.writing import compose


def words(seed: int, n: int) -> list[str]:
    return list(islice(compose(np.random.default_rng(seed)), n))


def test_every_character_can_be_written() -> None:
    assert set("".join(words(0, 20_000))) <= set(allographs())


def test_every_letter_of_the_alphabet_comes_up_on_a_few_pages() -> None:
    assert set("abcdefghijklmnopqrstuvwxyz") <= set("".join(words(0, 300)).lower())


def test_the_seed_decides_the_text() -> None:
    assert words(3, 100) == words(3, 100)
    assert words(3, 100) != words(4, 100)


def test_a_sentence_begins_with_a_capital_and_ends_with_a_mark() -> None:
    text = words(1, 500)
    assert text[0][0].isupper()
    assert all(after[0].isupper() for word, after in pairwise(text) if word[-1] in ".!?")
