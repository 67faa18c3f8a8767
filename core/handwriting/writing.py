"""A writer at work: words to paths of the pen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.handwriting.penmanship import N_MODES, WITHIN_BEND, WITHIN_SWAP, Mood, Penmanship, bending_modes
from core.handwriting.skeletons import FloatArray, allographs


@dataclass(frozen=True)
class WrittenWord:
    """The pen's paths through a word, arrays (n_waypoints, 2) of (x, y) in x-heights, y upward from the baseline."""

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
        """A path that ends here; its last piece would have led to the next letter, and is written in part."""
        whole = np.concatenate(path)
        if has_tail:
            share = np.clip(self._hand.tail + self._generator.normal(0, 0.15), 0, 1)
            whole[-1] = whole[-2] + share * (whole[-1] - whole[-2])
        return whole


def _divide(points: FloatArray, lengths: Sequence[int]) -> tuple[FloatArray, ...]:
    ends = np.cumsum(lengths)
    return tuple(points[end - length : end] for end, length in zip(ends, lengths, strict=True))
