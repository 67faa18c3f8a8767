"""Epochs that come faster than the tracker takes them are told together and in order."""

import threading
import time
from collections.abc import Sequence

from search.ledger.events import AttemptStarted, EpochReported
from search.ledger.state import TrialRecord
from search.sweep.tracking_queue import TrackingQueue
from tests.search.cheap_sweep import KeepingTracker
from tests.search.sweep.told_sweep import ended, epoch, started


class SlowTracker(KeepingTracker):
    """Takes nothing down until it is let go; notes which epochs it was told together."""

    def __init__(self) -> None:
        super().__init__()
        self.is_free = threading.Event()
        self.told: list[list[tuple[int, int]]] = []

    def start_attempt(self, event: AttemptStarted, trial: TrialRecord) -> None:
        self.is_free.wait()
        super().start_attempt(event, trial)

    def end_epochs(self, events: Sequence[EpochReported], trial: TrialRecord) -> None:
        self.told.append([(event.number, event.report.epoch) for event in events])
        super().end_epochs(events, trial)


def _tell(queue: TrackingQueue, number: int, *epochs: int, attempt: int = 1) -> None:
    for epoch_number in epochs:
        (event,), trial = epoch(number, epoch_number, attempt)
        queue.end_epoch(event, trial)


def _drained(queue: TrackingQueue) -> list[int]:
    ends_s = time.monotonic() + 30
    queue.drain(lambda: time.monotonic() > ends_s)
    queue.close()
    return queue.take_tracked()


def test_waiting_epochs_of_an_attempt_are_told_together() -> None:
    tracker = SlowTracker()
    queue = TrackingQueue(tracker, print, lambda: None)
    for number in (0, 1):
        queue.start_attempt(*started(number))
    _tell(queue, 0, 1, 2)
    _tell(queue, 1, 1)
    _tell(queue, 0, 3)
    queue.start_attempt(*started(1, attempt=2))
    _tell(queue, 1, 2, 3, attempt=2)
    queue.end_trial(*ended(0))
    tracker.is_free.set()
    assert _drained(queue) == [0]
    assert tracker.told == [[(0, 1), (0, 2), (0, 3)], [(1, 1)], [(1, 2), (1, 3)]]
    kinds = [event.kind for event in tracker.events if getattr(event, "number", None) == 1]
    assert kinds == ["started", "reported", "started", "reported", "reported"]


def test_a_tracker_that_keeps_up_is_told_each_epoch_at_once() -> None:
    tracker = SlowTracker()
    tracker.is_free.set()
    queue = TrackingQueue(tracker, print, lambda: None)
    queue.start_attempt(*started(0))
    for epoch_number in (1, 2, 3):
        _tell(queue, 0, epoch_number)
        ends_s = time.monotonic() + 30
        while len(tracker.told) < epoch_number and time.monotonic() < ends_s:
            time.sleep(0.001)
    assert tracker.told == [[(0, 1)], [(0, 2)], [(0, 3)]]
    assert _drained(queue) == []


def test_what_was_missed_is_replayed_whole() -> None:
    tracker = SlowTracker()
    tracker.is_free.set()
    tracker.is_down = True
    queue = TrackingQueue(tracker, lambda _: None, lambda: None, quiet_s=0.0)
    queue.start_attempt(*started(0))
    _tell(queue, 0, 1, 2)
    ends_s = time.monotonic() + 30
    queue.drain(lambda: time.monotonic() > ends_s)
    assert queue.take_tracked() == []
    tracker.is_down = False
    trial = ended(0)[1]
    queue.replay(trial)
    assert _drained(queue) == [0]
    assert [event.report.epoch for event in tracker.of(EpochReported)] == [1, 2, 3]
