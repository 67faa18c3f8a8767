import json
import math
import resource
import signal
from pathlib import Path
from types import MappingProxyType

import pytest

from core import crash_points
from core.errors import LedgerError
from search.ledger.events import (
    AttemptStarted,
    EpochReported,
    Launched,
    LedgerEvent,
    SegmentEnded,
    SweepClosed,
    TrialContinued,
    TrialProposed,
)
from search.ledger.ledger import Ledger, open_ledger, read_ledger
from search.ledger.trial import EpochReport, FileReference, PruningDecision, TrialResult, TrialState


def begin(folder: Path) -> Ledger:
    return open_ledger(folder, name="words", config={"seed": 1, "space": {"a": [1, 2]}}, version="0.1.0", git_commit="")


def fill(ledger: Ledger) -> list[LedgerEvent]:
    """A trial with one epoch of odd numbers."""
    metrics = {"nan": math.nan, "inf": math.inf, "third": 1 / 3}
    checkpoint = FileReference(ledger.folder / "trials/0/attempt-1/epoch-1", "ab", 3)
    report = EpochReport(1, metrics, 100, 0.5, checkpoint)
    return [
        ledger.append(lambda ms: Launched(ms, "host", 1, 1, 2, "float32")),
        ledger.append(lambda ms: TrialProposed(ms, 0, {"flag": True, "n": 1, "rate": 1.0}, {}, 5, None, 10)),
        ledger.append(lambda ms: AttemptStarted(ms, 0, 1, 0, 10, 2, "float32", 99)),
        ledger.append(lambda ms: EpochReported(ms, 0, 1, report, PruningDecision.GO)),
    ]


def test_what_is_written_is_read_back_exactly(tmp_path: Path) -> None:
    with begin(tmp_path) as ledger:
        fill(ledger)
        written = ledger.state
    read = read_ledger(tmp_path)
    assert read.created == written.created
    assert repr(read.trials[0]) == repr(written.trials[0])  # repr, because nan is not equal to itself
    point = read.trials[0].proposed.point
    assert {name: type(value) for name, value in point.items()} == {"flag": bool, "n": int, "rate": float}


def test_sigterm_in_the_middle_of_a_write_does_not_tear_the_line(tmp_path: Path) -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        with begin(tmp_path) as ledger:
            crash_points.arm("line-half-written@3!TERM")
            fill(ledger)
    finally:
        crash_points.arm("")
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]
    assert len(read_ledger(tmp_path).trials[0].reports) == 1


def test_any_mapping_can_be_a_point(tmp_path: Path) -> None:
    with begin(tmp_path) as ledger:
        ledger.append(lambda ms: TrialProposed(ms, 0, MappingProxyType({"n": 1}), {}, 5, None, 10))
    assert read_ledger(tmp_path).trials[0].proposed.point == {"n": 1}


def test_an_opened_ledger_goes_on_with_the_same_sweep(tmp_path: Path) -> None:
    with begin(tmp_path) as ledger:
        sweep_id = ledger.created.sweep_id
    with begin(tmp_path) as ledger:
        assert ledger.created.sweep_id == sweep_id


def test_a_sweep_of_the_same_name_begun_anew_has_another_id(tmp_path: Path) -> None:
    with begin(tmp_path / "a") as first, begin(tmp_path / "b") as second:
        assert first.created.sweep_id != second.created.sweep_id


@pytest.mark.parametrize("torn", [b'{"at_ms": 17, "number"', b"\0\0\0\0", b"\0\0\0\n", b"}\n"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    with begin(tmp_path) as ledger:
        fill(ledger)
    path = tmp_path / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    with begin(tmp_path) as ledger:
        assert ledger.trimmed_bytes == len(torn)
        assert path.read_bytes() == whole
        ledger.append(lambda ms: SweepClosed(ms, "completed", ""))
    assert read_ledger(tmp_path).closed is not None


def test_a_torn_first_line_begins_the_sweep_anew(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text('{"at_ms": 1')
    with begin(tmp_path) as ledger:
        assert ledger.created.name == "words"


def test_a_reader_does_not_mend_a_torn_line(tmp_path: Path) -> None:
    with begin(tmp_path) as ledger:
        fill(ledger)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at')
    assert len(read_ledger(tmp_path).trials) == 1
    assert path.read_bytes().endswith(b'{"at')


@pytest.mark.parametrize("damage", ["garbage", '{"kind": "unheard-of"}', '{"kind": "tracked", "at_ms": 1}', "[]", "\0"])
def test_damage_in_the_middle_names_file_and_line(tmp_path: Path, damage: str) -> None:
    with begin(tmp_path) as ledger:
        fill(ledger)
    path = tmp_path / "ledger.jsonl"
    lines = path.read_text().splitlines()
    lines[2] = damage
    path.write_text("\n".join(lines) + "\n")
    for open_it in (begin, read_ledger):
        with pytest.raises(LedgerError, match=r"line 3 of .*ledger\.jsonl"):
            open_it(tmp_path)


def test_a_refused_ledger_is_not_left_locked(tmp_path: Path) -> None:
    with begin(tmp_path) as ledger:
        fill(ledger)
    with pytest.raises(LedgerError, match="changed"):
        open_ledger(tmp_path, name="words", config={"seed": 2}, version="0.1.0", git_commit="")
    begin(tmp_path).close()


def test_a_sweep_that_was_never_launched_is_begun_anew_when_the_experiment_has_changed(tmp_path: Path) -> None:
    with begin(tmp_path) as first:
        sweep_id = first.created.sweep_id
    with open_ledger(tmp_path, name="words", config={"seed": 2}, version="0.1.0", git_commit="") as ledger:
        assert ledger.created.config == {"seed": 2}
        assert ledger.created.sweep_id != sweep_id
    assert read_ledger(tmp_path).created == ledger.created


def test_the_caller_says_which_changes_count(tmp_path: Path) -> None:
    with begin(tmp_path) as ledger:
        fill(ledger)
    changed = {"seed": 2}
    open_ledger(tmp_path, name="words", config=changed, version="", git_commit="", differences=lambda old: []).close()
    with pytest.raises(LedgerError, match="seed: 1 -> 2"):
        open_ledger(
            tmp_path, name="words", config=changed, version="", git_commit="", differences=lambda old: ["seed: 1 -> 2"]
        )


def test_a_ledger_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"ledger\.jsonl"):
        read_ledger(tmp_path)


def test_times_never_go_back(tmp_path: Path) -> None:
    with begin(tmp_path) as ledger:
        far_off = ledger.now_ms() + 10**9
        ledger.append(lambda ms: Launched(far_off, "host", 1, 1, 1, "float32"))
        assert ledger.now_ms() == far_off


def test_paths_below_the_sweep_s_folder_are_kept_relative(tmp_path: Path) -> None:
    with begin(tmp_path / "old") as ledger:
        fill(ledger)
    stored = json.loads((tmp_path / "old/ledger.jsonl").read_text().splitlines()[-1])
    assert stored["report"]["checkpoint"]["path"] == "trials/0/attempt-1/epoch-1"
    (tmp_path / "old").rename(tmp_path / "new")
    checkpoint = read_ledger(tmp_path / "new").trials[0].checkpoints[0][1]
    assert checkpoint.path == tmp_path / "new/trials/0/attempt-1/epoch-1"


def test_events_that_do_not_follow_are_refused_and_not_written(tmp_path: Path) -> None:
    ended = TrialResult(TrialState.COMPLETED, 1.0)
    with begin(tmp_path) as ledger:
        fill(ledger)
        size = (tmp_path / "ledger.jsonl").stat().st_size
        for wrong in (
            lambda ms: TrialProposed(ms, 7, {}, {}, 0, None, 10),
            lambda ms: SegmentEnded(ms, 7, 1, ended),
            lambda ms: TrialContinued(ms, 0, None),
            lambda ms: EpochReported(ms, 0, 1, EpochReport(1, {}, 1, 1.0), PruningDecision.GO),
        ):
            with pytest.raises(LedgerError, match="must hold"):
                ledger.append(wrong)
        assert (tmp_path / "ledger.jsonl").stat().st_size == size


def test_nothing_is_written_to_a_closed_ledger(tmp_path: Path) -> None:
    ledger = begin(tmp_path)
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.append(lambda ms: SweepClosed(ms, "completed", ""))


def test_a_full_disk_is_told_and_ends_the_writing(tmp_path: Path) -> None:
    with begin(tmp_path) as ledger:
        fill(ledger)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (tmp_path / "ledger.jsonl").stat().st_size
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limit[1]))  # a full disk, as far as this file goes
        try:
            with pytest.raises(LedgerError, match="cannot be written"):
                ledger.append(lambda ms: SweepClosed(ms, "completed", ""))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            signal.signal(signal.SIGXFSZ, ignored)
        with pytest.raises(LedgerError, match="closed"):
            ledger.append(lambda ms: SweepClosed(ms, "completed", ""))
    with begin(tmp_path) as ledger:
        assert ledger.trimmed_bytes == 0  # the half line was taken back
        assert len(ledger.state.trials) == 1
