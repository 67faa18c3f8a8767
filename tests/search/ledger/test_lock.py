import os
from pathlib import Path

import pytest

from core.errors import LedgerError
from search.ledger.lock import SweepLock


def test_a_second_holder_is_refused_with_the_first_one_s_name(tmp_path: Path) -> None:
    with (
        SweepLock(tmp_path / "sweep/lock"),
        pytest.raises(LedgerError, match=rf"'sweep' .*process {os.getpid()} on host"),
    ):
        SweepLock(tmp_path / "sweep/lock")


def test_a_released_lock_can_be_taken_again(tmp_path: Path) -> None:
    lock = SweepLock(tmp_path / "lock")
    lock.release()
    lock.release()
    SweepLock(tmp_path / "lock").release()


def test_a_lock_that_a_dead_process_left_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("process 1 on host elsewhere\n" * 20)
    with SweepLock(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text().startswith(f"process {os.getpid()} on host")
        assert (tmp_path / "lock").read_text().count("\n") == 1


def test_who_died_with_the_lock_is_told_and_who_gave_it_back_is_not(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("process 1 on host elsewhere\n")
    with SweepLock(tmp_path / "lock") as lock:
        assert lock.taken_over_from == "process 1 on host elsewhere"
    with SweepLock(tmp_path / "lock") as lock:
        assert lock.taken_over_from == ""
