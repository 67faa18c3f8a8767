"""A writer at work: sentences put together from a word list, and words as paths of the pen.

No two pages say the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.handwriting.penmanship import N_MODES, WITHIN_BEND, WITHIN_SWAP, Mood, Penmanship, bending_modes
from core.handwriting.skeletons import FloatArray, allographs

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
    """Words of endless sentences, with their capitals and punctuation; every character has a
    skeleton.
    """
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


@dataclass(frozen=True)
class WrittenWord:
    """The pen's paths through a word, arrays (n_waypoints, 2) of (x, y) in x-heights, y upward from
    the baseline.
    """

    paths: tuple[FloatArray, ...]
    width: float


@dataclass(frozen=True)
class _Letter:
    body: tuple[FloatArray, ...]
    delayed: tuple[FloatArray, ...]
    advance: float
    opens_join: bool
    takes_join: bool


class Writer:
    """Writes words in one hand on one page.

    Args:
        hand: the lasting habits.
        mood: how this page departs from them.
        generator: for all that varies from letter to letter.
    """

    def __init__(self, hand: Penmanship, mood: Mood, generator: np.random.Generator) -> None:
        self._hand = hand
        self._mood = mood
        self._generator = generator

    def write_word(self, word: str) -> WrittenWord:
        """The paths of one word of at least one character.

        Raises:
            KeyError: if there is no skeleton for a character.
        """
        letters, width = self._letters(word)
        joining = np.clip(self._hand.joining + self._mood.joining, 0.0, 0.99)
        joined = self._generator.random(len(word)) < joining
        body: list[FloatArray] = []
        path: list[FloatArray] = []
        was_open = False
        for letter, join in zip(letters, joined, strict=True):
            if path and not (was_open and join and letter.takes_join):
                body.append(self._lift(path, was_open))
                path = []
            for stroke in letter.body[:-1]:
                body.append(np.concatenate([*path, stroke]))
                path = []
            path.append(letter.body[-1])
            was_open = letter.opens_join
        body.append(self._lift(path, was_open))
        return WrittenWord((*body, *(stroke for letter in letters for stroke in letter.delayed)), width)

    def word_gap(self) -> float:
        """The room left before the next word, in x-heights."""
        gap = self._hand.word_gap * self._mood.spacing * np.exp(self._generator.normal(0, 0.18))
        return float(max(gap, 0.35))

    def _letters(self, word: str) -> tuple[list[_Letter], float]:
        """The letters of a word, each in its place, and the width of the word."""
        hand, mood, generator, n = self._hand, self._mood, self._generator, len(word)
        looseness = hand.looseness
        noise = generator.normal(0, WITHIN_BEND * looseness, (n, N_MODES, 2))
        gaps = hand.letter_gap * mood.spacing + generator.normal(0, 0.035 * looseness, n)
        sizes = np.linspace(1.0, hand.shrink, n) * np.exp(generator.normal(0, 0.025 * looseness, n))
        hops = generator.normal(0, 0.02 * looseness, n)
        slants = hand.slant + mood.slant + generator.normal(0, 0.025) + generator.normal(0, 0.025 * looseness, n)
        letters: list[_Letter] = []
        x = 0.0
        for place, character in enumerate(word):
            letter = self._letter(character, noise[place], sizes[place], (x, hops[place]), slants[place])
            letters.append(letter)
            x += letter.advance + gaps[place]
        return letters, x - float(gaps[-1])

    def _letter(
        self, character: str, noise: FloatArray, size: float, place: tuple[float, float], slant: float
    ) -> _Letter:
        hand = self._hand
        number = self._choose(character)
        skeleton = allographs()[character][number]
        bend = hand.bend[character, number] + self._mood.bend + noise
        points = np.concatenate(skeleton.strokes) + bending_modes(character, number) @ bend
        width = hand.width * self._mood.width * size
        y = points[:, 1]
        y = size * np.where(y > 1, 1 + (y - 1) * hand.ascender, np.where(y < 0, y * hand.descender, y)) + place[1]
        points = np.stack([place[0] + points[:, 0] * width + slant * y, y], axis=1)
        strokes = _divide(points, [len(stroke) for stroke in skeleton.strokes])
        body, delayed = strokes[: skeleton.n_body], strokes[skeleton.n_body :]
        return _Letter(body, delayed, skeleton.advance * width, skeleton.opens_join, character.isalpha())

    def _choose(self, character: str) -> int:
        """The usual allograph, or now and then any."""
        if self._generator.random() < WITHIN_SWAP * self._hand.looseness:
            return int(self._generator.integers(len(allographs()[character])))
        return self._hand.usual[character]

    def _lift(self, path: Sequence[FloatArray], has_tail: bool) -> FloatArray:
        """A path that ends here; its last piece would have led to the next letter, and is written
        in part.
        """
        whole = np.concatenate(path)
        if has_tail:
            share = np.clip(self._hand.tail + self._generator.normal(0, 0.15), 0, 1)
            whole[-1] = whole[-2] + share * (whole[-1] - whole[-2])
        return whole


def _divide(points: FloatArray, lengths: Sequence[int]) -> tuple[FloatArray, ...]:
    ends = np.cumsum(lengths)
    return tuple(points[end - length : end] for end, length in zip(ends, lengths, strict=True))
