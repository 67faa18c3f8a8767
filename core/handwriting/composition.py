"""Texts to be written: plain sentences put together from a word list, so that no two pages say the same."""

from collections.abc import Iterator

import numpy as np

_WORD_LISTS = {
    "name": (
        "Anna, Bernard, Clara, David, Edith, Frank, George, Helen, Ida, James, Kate, Louis, Martha, Nora, Oliver, "
        "Peter, Quentin, Rosa, Samuel, Thomas, Ursula, Victor, Walter, Xavier, Yvonne, Zoe"
    ),
    "person": (
        "gardener, baker, sailor, teacher, doctor, miller, painter, shepherd, neighbour, stranger, brother, "
        "sister, mother, father, uncle, cousin, captain, printer, weaver, traveller, keeper, judge, widow, clerk, "
        "farmer, soldier, singer, child, carpenter, pilot, queen, butcher, guest, lawyer, friend, servant, major, "
        "engineer, poet, nurse"
    ),
    "thing": (
        "letter, bridge, garden, window, lantern, river, harbour, kettle, table, mountain, village, basket, "
        "mirror, ladder, journey, market, orchard, violin, candle, blanket, forest, winter, evening, morning, "
        "story, feather, pocket, valley, kitchen, carriage, engine, hammer, needle, jacket, oven, quarrel, "
        "question, station, tower, umbrella, wagon, yard, bottle, apple, paper, clock, island, jewel, key, lake, "
        "map, nest, oak, pump, quilt, road, ship, thread, vessel, wheel, box, fox, axe, field, glove, history, "
        "cabbage, puzzle, summer, thunder, shadow, whistle, horse, grape, figure, jug, copy"
    ),
    "quality": (
        "old, quiet, narrow, bright, heavy, gentle, broken, yellow, early, foreign, hungry, lively, muddy, noble, "
        "patient, quick, rough, silver, tired, useful, velvet, weary, young, frozen, golden, hollow, little, "
        "mild, plain, round, sharp, thick, warm, brave, clever, damp, empty, faint, grey, huge, jolly, kind, "
        "lazy, modest, odd, proud, queer, simple, tall, ugly, vast, wide"
    ),
    "deed": (
        "carried, found, opened, painted, followed, remembered, left, mended, sold, watched, brought, borrowed, "
        "caught, described, examined, forgot, gathered, hid, imagined, judged, kept, lost, measured, noticed, "
        "offered, praised, questioned, repaired, saw, took, used, visited, wanted, wrote, bought, drew, fixed, "
        "broke, crossed, divided, explained, joined, valued"
    ),
    "where": "behind, beyond, near, under, above, towards, across, around, beside, over, through, into, from, inside",
    "link": "and, but, while, because, although, when, so, until, for, since, where",
    "article": "the, the, the, a, his, her, our, their, that, this, every, one, my, some",
    "opener": "Today, Perhaps, Yesterday, Once, Indeed, Tomorrow, Usually, Elsewhere, Meanwhile, Later, Now",
    "manner": (
        "slowly, again, twice, gladly, at once, very soon, before breakfast, without a word, in silence, by "
        "chance, every Friday, last week, after dinner, for nothing, with great care, most of the day, in the "
        "dark, on Sunday, all the same, just in time, quite often, until midnight, since March, under the stairs"
    ),
}
_WORDS = {kind: words.split(", ") for kind, words in _WORD_LISTS.items()}


def compose(generator: np.random.Generator) -> Iterator[str]:
    """Words of endless sentences, with their capitals and punctuation; every character has a skeleton."""
    while True:
        sentence = _sentence(generator)
        yield from f"{sentence[0].upper()}{sentence[1:]}".split(" ")


def _sentence(generator: np.random.Generator) -> str:
    clauses = [_clause(generator)]
    if generator.random() < 0.45:
        clauses.append(f"{_pick('link', generator)} {_clause(generator)}")
    opener = f"{_pick('opener', generator)} " if generator.random() < 0.2 else ""
    chance = generator.random()
    return f"{opener}{', '.join(clauses)}{'!' if chance < 0.06 else '?' if chance < 0.12 else '.'}"


def _clause(generator: np.random.Generator) -> str:
    words = [_subject(generator), _pick("deed", generator), _phrase("thing", generator)]
    chance = generator.random()
    if chance < 0.35:
        words += [_pick("where", generator), _phrase("thing", generator)]
    elif chance < 0.65:
        words.append(_pick("manner", generator))
    elif chance < 0.75:
        words.append(f"in {generator.integers(1609, 1990)}")
    return " ".join(words)


def _subject(generator: np.random.Generator) -> str:
    return _pick("name", generator) if generator.random() < 0.3 else _phrase("person", generator)


def _phrase(noun: str, generator: np.random.Generator) -> str:
    article = _pick("article", generator)
    words = [_pick("quality", generator)] if generator.random() < 0.4 else []
    words.append(_pick(noun, generator))
    if article == "a" and words[0][0] in "aeiou":
        article = "an"
    return " ".join([article, *words])


def _pick(kind: str, generator: np.random.Generator) -> str:
    words = _WORDS[kind]
    return words[int(generator.integers(len(words)))]
