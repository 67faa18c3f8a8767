"""The cheap objective with an epoch of a second, for faults that last."""

from dataclasses import replace

from search.ledger.trial import ReportEpoch, TrialResult, TrialSpec
from search.objectives.cheap import CheapSettings, train_cheaply

PRELOAD: tuple[str, ...] = ()


def train_slowly(spec: TrialSpec, report_epoch: ReportEpoch) -> TrialResult:
    """Follow the protocol of `search.ledger.trial.Objective`; any settings of the spec are left
    alone.
    """
    return train_cheaply(replace(spec, settings=CheapSettings(seconds_per_epoch=1.0)), report_epoch)
