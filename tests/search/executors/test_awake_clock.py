from search.executors.machine import ActiveTimeClock
from search.ledger.events import Launched, Slept, SweepClosed
from search.ledger.state import SweepState


def test_it_counts_turns_and_leaves_sleep_out() -> None:
    now = [100.0]
    clock = ActiveTimeClock(lambda: now[0])
    slept = []
    for at_s in (100.5, 130.0, 29_000.0, 29_001.0, 28_000.0, 28_000.5):  # a night, and a clock that is put back
        now[0] = at_s
        slept.append(clock.turn())
    assert slept == [0, 0, 28_870.0, 0, 0, 0]
    assert clock.now_s == 31.5


def test_sleep_is_no_working_time_of_a_sweep() -> None:
    state = SweepState.fold(
        [
            Launched(1_000, "host", 1, 1, 1, "float32"),
            Slept(3_601_000, 3_590.0),
            SweepClosed(3_611_000, "interrupted", ""),
            Launched(9_000_000, "host", 1, 1, 1, "float32"),
        ]
    )
    assert state.elapsed_s(9_005_000) == 3_610.0 - 3_590.0 + 5.0
