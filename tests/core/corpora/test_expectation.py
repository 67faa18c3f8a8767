import pytest

from core.corpora.expectation import IMAGES_BY_IMAGES, LINES_BY_PAGES, Unit, expect


@pytest.mark.parametrize(("unit", "measured"), [("page", LINES_BY_PAGES), ("image", IMAGES_BY_IMAGES)])
def test_what_was_measured_is_expected(unit: Unit, measured: list[tuple[int, float]]) -> None:
    for n, top1 in measured:
        assert expect(n, unit).top1 == pytest.approx(top1)


def test_between_two_numbers_it_lies_between_what_they_gave() -> None:
    (low, first), (high, second), *_ = LINES_BY_PAGES
    assert first < expect((low + high) / 2, "page").top1 < second


def test_beyond_the_measured_ends_nothing_more_is_promised() -> None:
    assert expect(0.5, "page").top1 == LINES_BY_PAGES[0][1]
    most = expect(1000, "page")
    assert (most.top1, most.with_twice) == (LINES_BY_PAGES[-1][1], None)


def test_it_says_what_twice_as_many_would_give() -> None:
    assert expect(1, "page").in_words().startswith("what to expect: with 1 page of each writer to train on, about 49%")
    assert "with twice as many about 68%" in expect(1, "page").in_words()
    assert "with 16 images" in expect(16, "image").in_words()
    assert "with twice as many no more" in expect(16, "image").in_words()
