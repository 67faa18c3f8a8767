"""What asking the engine costs beside the trials, which the user can do something about."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

from search.ledger.state import TrialRecord
from search.ledger.trial import TrialState

WINDOW = 10  # trials: what asking costs now, not what it cost on average
_FEWEST = 3
_LARGE = 0.1
_UNNOTICED_S = 0.1  # a trial; tests and toy objectives only have trials so short that this is a tenth of them
_GROWN = 2.0


@dataclass(frozen=True)
class EngineShare:
    """What asking costs, on the average of a sweep's latest trials.

    Attributes:
        ask_s: for which the engine was asked, a trial.
        trial_s: of training and validation, a trial.
        early_ask_s: for which the engine was asked, on the average of the first trials.
    """

    ask_s: float
    trial_s: float
    early_ask_s: float

    @classmethod
    def of(cls, trials: Mapping[int, TrialRecord]) -> "EngineShare | None":
        """Measure a sweep by its trials, whose numbers count up from 0; `None` while too few have
        trained.
        """
        latest = list(islice(_trained(trials, range(len(trials) - 1, -1, -1)), WINDOW))
        if len(latest) < _FEWEST:
            return None
        return cls(
            ask_s=fmean(trial.ask_s for trial in latest),
            trial_s=fmean(trial.duration_s for trial in latest),
            early_ask_s=fmean(trial.ask_s for trial in islice(_trained(trials, range(len(trials))), _FEWEST)),
        )

    @property
    def is_large(self) -> bool:
        """Whether asking takes more than a tenth of the trials' own time, and long enough to be
        noticed.
        """
        return self.ask_s > max(_LARGE * self.trial_s, _UNNOTICED_S)

    def __str__(self) -> str:
        """One line for the user, with the mend.

        >>> str(EngineShare(ask_s=12.04, trial_s=86.0, early_ask_s=0.31))
        'asking the engine takes 12 s a trial, 14 % of the trial time (0.31 s at first): random search does not grow'
        """  # noqa: W505
        share = f"{self.ask_s / self.trial_s:.0%}".replace("%", " %") if self.trial_s > 0 else "more than all"
        text = f"asking the engine takes {_seconds(self.ask_s)} a trial, {share} of the trial time"
        has_grown = self.ask_s > _GROWN * self.early_ask_s
        return f"{text} ({_seconds(self.early_ask_s)} at first): random search does not grow" if has_grown else text


def _trained(trials: Mapping[int, TrialRecord], numbers: Iterable[int]) -> Iterator[TrialRecord]:
    """Those that have trained, one after the other: the first and last few of thousands are soon
    found.
    """
    for number in numbers:
        trial = trials[number]
        if trial.state is not TrialState.RUNNING and trial.reports:
            yield trial


def _seconds(duration_s: float) -> str:
    return f"{duration_s:.0f} s" if duration_s >= 10 else f"{duration_s:.2g} s"
