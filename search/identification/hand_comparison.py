"""Whose page is it, of trained and enrolled writers together, or of nobody known?

Every writer has a centre: the mean descriptor of his or her pages. A page's cosines to all centres,
divided by a temperature, say how probable each is. What the trained writers have together is
divided among them as the network's own answer does: it knows them better than a mean can say.

"None of these" rests on pages by writers who were set aside: neither training nor anything that was
fitted saw them. Enrolling one more writer gives each of these pages one more chance to be mistaken,
so the threshold is set anew for the writers that there are.

Registered models carry a copy of this file: it imports nothing of `search`.
"""

from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from core.identification.calibration import (
    UnknownWriterTest,
    apply_temperature,
    fit_temperature,
    fit_unknown_writer_test,
)
from core.identification.model_record import ModelRecord
from core.identification.prediction import Prediction, rank_writers
from core.retrieval.known_hands import AMOUNTS, HANDS_FILE, DescribedPage, Hands, PagesByInk
from core.retrieval.register import REGISTER_FILE, Register
from core.scoring.mean_scores import FloatArray

FEWEST_PAGES = 20
"""Set-aside pages below which no rate is promised: of twenty, none stands for less than 5 %."""
_UNFITTED = 0.1  # temperature of cosines where no validation page has enough ink


class HandComparison:
    """Compares a page with all writers that a model knows.

    Attributes:
        writer_ids: the trained writers, in the order of the record, then the enrolled ones.
        hands: of the model.
        register: the enrolled writers.
    """

    def __init__(self, record: ModelRecord, hands: Hands, register: Register) -> None:
        self.writer_ids = (*record.writer_ids, *register.writer_ids)
        self.hands, self.register = hands, register
        self._centres = np.concatenate([hands.centres, register.centres])
        self._n_trained = len(record.writer_ids)
        self._tests: dict[int, UnknownWriterTest | None] = {}

    @classmethod
    def load(cls, folder: Path, record: ModelRecord) -> Self | None:
        """Load what lies beside a model's record; `None` if nobody is enrolled.

        Raises:
            RegistryError: if a file is damaged.
        """
        if not (folder / REGISTER_FILE).is_file():
            return None
        return cls(record, Hands.load(folder / HANDS_FILE), Register.load(folder / REGISTER_FILE))

    def answer(self, network: Prediction, page: DescribedPage) -> Prediction:
        """Rank trained and enrolled writers together.

        Args:
            network: what the network says of the trained writers alone, all of them.
            page: the same page.
        """
        of_trained = np.array([network.probability_of(name) for name in self.writer_ids[: self._n_trained]])
        shares = np.exp(apply_temperature(self._cosines(page.descriptor[np.newaxis]), self._temperature))[0]
        probabilities = np.concatenate([shares[: self._n_trained].sum() * of_trained, shares[self._n_trained :]])
        likeness = self.likeness_to_known(page)
        return Prediction(
            image=network.image,
            ranking=rank_writers(probabilities / probabilities.sum(), self.writer_ids),
            none_of_these=likeness[0].none_of_these(likeness[1]) if likeness else None,
            is_known=likeness[0].is_known(likeness[1]) if likeness else None,
            n_lines=network.n_lines,
            n_patches=network.n_patches,
            calibrated_on=network.calibrated_on,
        )

    def likeness_to_known(self, page: DescribedPage) -> tuple[UnknownWriterTest, float] | None:
        """How alike a page is to the writer that is most like it, and what tells unknown writers by
        that.

        Both are of the largest amount of ink that the page has, and enough pages by writers who
        were set aside have, too. `None` where there is none, or where the test would call too many
        known writers unknown.
        """
        for level in reversed(range(len(page.by_amount))):
            test = self.test_at(level)
            if test is not None:
                return (test, float(self.best(page.by_amount[level][np.newaxis])[0])) if test.is_used else None
        return None

    def test_at(self, level: int) -> UnknownWriterTest | None:
        """What tells unknown writers by an amount of ink, used or not; `None` where too few pages
        have as much.

        Args:
            level: place in `AMOUNTS`.
        """
        if level not in self._tests:
            self._tests[level] = self._fit_test(level)
        return self._tests[level]

    def _fit_test(self, level: int) -> UnknownWriterTest | None:
        unknown, _ = self.unknown_writers.at(level)
        known = self._best_of_known(level)
        if len(unknown) < FEWEST_PAGES or len(known) == 0:
            return None
        return fit_unknown_writer_test(
            "left_out_writers",
            self.best(unknown),
            known,
            self.hands.false_accept_rate,
            self.hands.max_false_reject_rate,
        )

    def _best_of_known(self, level: int) -> FloatArray:
        """What `best` is of pages of trained writers that training has not seen.

        Cross-fitted ones are compared with the trained writers alone: nobody is enrolled in the
        space of a fold. So where writers are enrolled, a few more are rejected here than will be.
        """
        of_folds = [(fold.pages.at(level)[0] @ fold.centres.T).max(axis=1) for fold in self.hands.cross_fitted]
        return np.concatenate([self.best(self.hands.validation.at(level)[0]), *map(_float, of_folds)])

    def best(self, rows: NDArray[np.float32]) -> FloatArray:
        """The cosine of pages, (n_pages, n_dimensions), to the writer that is most like each."""
        return self._cosines(rows).max(axis=1)

    @cached_property
    def fullest_test(self) -> UnknownWriterTest | None:
        """The test for the largest amount of ink that there is one for, used or not."""
        tests = (self.test_at(level) for level in reversed(range(len(AMOUNTS))))
        return next((test for test in tests if test is not None), None)

    @cached_property
    def unknown_writers(self) -> PagesByInk:
        """Pages by writers who were set aside and are not enrolled."""
        return self.hands.set_aside.without(self.register.writer_ids)

    @cached_property
    def _temperature(self) -> float:
        """Of `_cosines`, fitted on validation pages, or those that folds held out, among the
        trained writers.
        """
        own = (self.hands.centres, self.hands.validation)
        names = self.writer_ids[: self._n_trained]
        cosines, true = list[FloatArray](), list[int]()
        for centres, pages in (own, *((fold.centres, fold.pages) for fold in self.hands.cross_fitted)):
            rows, writers = pages.fullest()
            cosines.append(_float(rows @ centres.T))
            true += [names.index(writer) for writer in writers]
        if not true:
            return _UNFITTED
        return fit_temperature(apply_temperature(np.concatenate(cosines), 1.0), np.array(true, dtype=np.int64))

    def _cosines(self, rows: NDArray[np.float32]) -> FloatArray:
        """(n_pages, n_dimensions) to (n_pages, n_writers)."""
        return _float(rows @ self._centres.T)


def _float(values: NDArray[np.floating]) -> FloatArray:
    return np.asarray(values, np.float64)
