"""What stays the same in a writer's hand, and what changes from one page or letter to the next.

`SPREAD_*` constants say how far writers lie apart, `WITHIN_*` how much one writer varies. Together
with the numbers in `draw_penmanship` and `draw_mood` they set how hard the corpus is: size, pen and
slant change with the page as well as with the writer, so that the shapes of letters must be
learned.

They were set by trying five settings on the validation pages of 50 writers (seed 0, pages 0 and 1
to train, 2 to validate). As they are, the seed recipe gets 67.5 % of patches there after 200,000
patches (one run, bfloat16), and a logistic regression gets 31.6 % from 12 measures of ink, stroke
width, slant and height, 33.5 % with 3 counts of runs and components more, 22.9 % with the 6 barest.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np

from core.handwriting.skeletons import FloatArray, Skeleton, allographs

N_MODES = 10  # of the smooth bending below

SPREAD_BEND = 0.038  # x-heights per mode, of one letter
SPREAD_HAND_BEND = 0.06  # of all letters of a writer alike
WITHIN_BEND = 0.01
WITHIN_SWAP = 0.04  # share of letters written with another allograph than the usual one


@dataclass(frozen=True)
class Penmanship:
    """A writer's lasting habits. Lengths are in x-heights, angles in radians, shares lie in 0..1.

    Attributes:
        slant: of the axis of letters, positive to the right.
        width: factor on the width of letters.
        x_height_px: the size of writing.
        ascender: factor on what lies above the x-height.
        descender: factor on what lies below the baseline.
        letter_gap: added between letters.
        word_gap: between words.
        line_gap: from baseline to baseline.
        joining: chance that two letters which can be joined are.
        tail: how much of a letter's final stroke is written where nothing is joined to it.
        rounding: over which length of the path corners are rounded off.
        tension: 1 for curves that swing through their waypoints, 0 for straight pieces.
        looseness: factor on everything that varies from letter to letter.
        shrink: factor on size from the first to the last letter of a word.
        line_slope: of the lines of writing.
        pen_px: width of the stroke.
        contrast: how much the width follows the stroke's direction.
        nib_angle: direction in which the stroke is thinnest.
        taper: how much the stroke thins out where the pen is lifted.
        darkness: of the ink, 1 for black.
        usual: the usual allograph of each character.
        bend: how each allograph is bent, arrays (N_MODES, 2) by character and allograph.
    """

    slant: float
    width: float
    x_height_px: float
    ascender: float
    descender: float
    letter_gap: float
    word_gap: float
    line_gap: float
    joining: float
    tail: float
    rounding: float
    tension: float
    looseness: float
    shrink: float
    line_slope: float
    pen_px: float
    contrast: float
    nib_angle: float
    taper: float
    darkness: float
    usual: Mapping[str, int]
    bend: Mapping[tuple[str, int], FloatArray]


_HABITS = tuple(field.name for field in fields(Penmanship) if field.type is float)
_N_COMMON = 200


@dataclass(frozen=True)
class Mood:
    """How one page departs from its writer's habits: added to the slant, factors on the rest."""

    slant: float
    width: float
    size: float
    pen: float
    spacing: float
    joining: float
    bend: FloatArray


def draw_penmanship(generator: np.random.Generator, alike: float = 0.0) -> Penmanship:
    """A new writer.

    Args:
        generator: source of all random numbers.
        alike: how near all writers are to one common hand, from 0 (as far apart as they come) to 1
            (no two differ).
    """
    hand = _draw_hand(generator)
    return hand if alike == 0 else _nearer(hand, alike, generator)


def _draw_hand(generator: np.random.Generator) -> Penmanship:
    joining = float(np.clip(generator.beta(1.2, 0.8), 0.02, 0.98))
    hand_bend = generator.normal(0, SPREAD_HAND_BEND, (N_MODES, 2))
    return Penmanship(
        slant=float(generator.normal(0.14, 0.17)),
        width=float(np.exp(generator.normal(-0.04, 0.13))),
        x_height_px=float(np.exp(generator.normal(np.log(35), 0.06))),
        ascender=float(generator.normal(0.98, 0.13)),
        descender=float(generator.normal(0.92, 0.14)),
        letter_gap=float(generator.normal(0.10, 0.05) - 0.05 * joining),
        word_gap=float(generator.normal(0.85, 0.15)),
        line_gap=float(generator.normal(3.3, 0.1)),
        joining=joining,
        tail=float(generator.uniform(0.0, 1.0)),
        rounding=float(generator.uniform(0.04, 0.16)),
        tension=float(generator.uniform(0.65, 1.15)),
        looseness=float(np.exp(generator.normal(0, 0.2))),
        shrink=float(generator.normal(0.97, 0.05)),
        line_slope=float(generator.normal(0.002, 0.004)),
        pen_px=float(np.exp(generator.normal(np.log(3.9), 0.1))),
        contrast=float(generator.uniform(0.05, 0.5)),
        nib_angle=float(generator.normal(0.6, 0.35)),
        taper=float(generator.uniform(0.1, 0.6)),
        darkness=float(generator.uniform(0.65, 0.95)),
        usual={character: _usual(skeletons, joining, generator) for character, skeletons in allographs().items()},
        bend={
            (character, number): (hand_bend + generator.normal(0, SPREAD_BEND, (N_MODES, 2))) * _pliancy(character)
            for character, skeletons in allographs().items()
            for number in range(len(skeletons))
        },
    )


@cache
def _common_hand() -> Penmanship:
    """What many writers have in common: the means of their habits, and what most of them do."""
    hands = [_draw_hand(np.random.default_rng([number])) for number in range(_N_COMMON)]
    means = {name: float(np.mean([getattr(hand, name) for hand in hands])) for name in _HABITS}
    most = {
        character: Counter(hand.usual[character] for hand in hands).most_common(1)[0][0] for character in hands[0].usual
    }
    return replace(hands[0], **means, usual=most, bend={})


def _nearer(hand: Penmanship, alike: float, generator: np.random.Generator) -> Penmanship:
    common = _common_hand()
    habits = {name: (1 - alike) * getattr(hand, name) + alike * getattr(common, name) for name in _HABITS}
    usual = {
        character: common.usual[character] if generator.random() < alike else number
        for character, number in hand.usual.items()
    }
    bend = {letter: (1 - alike) * bent for letter, bent in hand.bend.items()}
    return replace(hand, **habits, usual=usual, bend=bend)


def draw_mood(generator: np.random.Generator) -> Mood:
    """A new page by the same writer."""
    return Mood(
        slant=float(generator.normal(0, 0.045)),
        width=float(np.exp(generator.normal(0, 0.035))),
        size=float(np.exp(generator.normal(0, 0.04))),
        pen=float(np.exp(generator.normal(0, 0.09))),
        spacing=float(np.exp(generator.normal(0, 0.08))),
        joining=float(generator.normal(0, 0.05)),
        bend=generator.normal(0, 0.005, (N_MODES, 2)),
    )


@cache
def bending_modes(character: str, number: int) -> FloatArray:
    """Smooth displacement fields over a skeleton: (n_waypoints of all strokes, N_MODES), values
    about -1..1.

    Seven depend on the place only and bend the letter as a rubber sheet; three depend on the way
    along the stroke, and open or close loops.
    """
    skeleton = allographs()[character][number]
    return np.concatenate([_modes(stroke, skeleton) for stroke in skeleton.strokes])


def _modes(stroke: FloatArray, skeleton: Skeleton) -> FloatArray:
    x, y = np.pi * stroke[:, 0] / max(skeleton.advance, 0.5), np.pi * stroke[:, 1]
    way = np.linspace(0, np.pi, len(stroke))
    place = [np.sin(x), np.cos(x), np.sin(y), np.cos(y), np.sin(x) * np.sin(y), np.cos(x) * np.cos(y), np.ones_like(x)]
    return np.stack([*place, np.sin(way), np.sin(2 * way), np.cos(2 * way)], axis=1)


def _pliancy(character: str) -> float:
    """Marks are so small that what bends a letter would carry them off."""
    return 1.0 if character.isalnum() else 0.3


def _usual(skeletons: tuple[Skeleton, ...], joining: float, generator: np.random.Generator) -> int:
    liking = {"c": joining**2, "p": (1 - joining) ** 2, "b": 0.4}
    weights = np.array([liking[skeleton.style] + 0.02 for skeleton in skeletons])
    return int(generator.choice(len(skeletons), p=weights / weights.sum()))
