"""The drawn letters are complete and sound."""

import string

import numpy as np

from core.handwriting.penmanship import N_MODES, bending_modes
from core.handwriting.skeletons import allographs


def test_all_letters_digits_and_the_punctuation_of_the_texts_can_be_written() -> None:
    assert set(allographs()) >= set(string.ascii_letters + string.digits + ".,!?")


def test_small_letters_can_be_written_in_two_ways_or_more() -> None:
    assert all(len(allographs()[letter]) >= 2 for letter in string.ascii_lowercase)


def test_joined_writing_and_print_both_find_a_way_to_write_each_letter() -> None:
    for letter in string.ascii_letters:
        styles = {skeleton.style for skeleton in allographs()[letter]}
        assert styles & {"c", "b"}
        assert styles & {"p", "b"}


def test_every_stroke_moves_and_stays_within_the_line() -> None:
    for skeletons in allographs().values():
        for skeleton in skeletons:
            assert 1 <= skeleton.n_body <= len(skeleton.strokes)
            assert skeleton.advance > 0
            for stroke in skeleton.strokes:
                assert stroke.shape[0] >= 2
                assert stroke.shape[1] == 2
                assert np.ptp(stroke, axis=0).max() > 0
                assert stroke[:, 1].min() >= -1
                assert stroke[:, 1].max() <= 2.1


def test_bending_modes_are_one_row_a_waypoint_and_bounded() -> None:
    for character, skeletons in allographs().items():
        for number, skeleton in enumerate(skeletons):
            modes = bending_modes(character, number)
            assert modes.shape == (sum(len(stroke) for stroke in skeleton.strokes), N_MODES)
            assert np.abs(modes).max() <= 1
