"""Named places between two writes, at which a test can kill the process: what a crash there leaves
must mend itself.

`docs/safety.md` says for each what it leaves and who repairs it. Unarmed, as always outside tests,
a crash point is one comparison with `None`.
"""

import os
import re
import signal
from collections.abc import Callable, Collection
from dataclasses import dataclass

WORKER_POINTS = (
    "worker-ready",
    "file-written-aside",
    "file-renamed",
    "report-sent",
    "verdict-heard",
    "result-made",
    "result-sent",
)
"""In a worker process, in the order in which a trial comes past them; the files are checkpoints and
small ones.
"""

DRIVER_POINTS = (
    "ledger-empty",
    "sweep-created",
    "split-saved",
    "launch-recorded",
    "sweep-run-created",
    "sweep-tracked",
    "command-recorded",
    "proposal-made",
    "line-half-written",
    "proposal-recorded",
    "continuation-recorded",
    "worker-forked",
    "attempt-recorded",
    "trial-run-created",
    "trial-run-described",
    "report-received",
    "report-judged",
    "report-recorded",
    "report-answered",
    "epoch-tracked",
    "interruption-recorded",
    "loss-recorded",
    "result-received",
    "end-recorded",
    "end-told",
    "model-created",
    "model-uploaded",
    "model-ready",
    "trial-run-closed",
    "trial-tracked",
    "tracked-recorded",
    "close-recorded",
    "sweep-run-closed",
)
"""In the driver, those of its tracking thread among them."""

PROMOTION_POINTS = (
    "refit-done",
    "identifier-packed",
    "identifier-logged",
    "version-registered",
    "test-set-opened",
    "network-scored",
    "candidate-asked",
    "scores-tracked",
    "card-written",
    "version-described",
    "move-written-down",
    "champion-moved",
    "aliases-moved",
)
"""In `whosehand promote` and `whosehand rollback`, in the order in which a promotion comes past
them.
"""

UPKEEP_POINTS = ("addresses-backed-up", "addresses-half-rewritten", "addresses-rewritten", "place-written")
"""In `whosehand doctor --apply` on a project that was moved or copied."""

INDEX_POINTS = (
    "index-row-half-written",
    "index-rows-written",
    "index-line-half-written",
    "index-extended",
)
"""While pages are added to an index of descriptors, in the order in which they are passed."""

ALL_POINTS = (*WORKER_POINTS, *DRIVER_POINTS, *PROMOTION_POINTS, *UPKEEP_POINTS, *INDEX_POINTS)
_TRAP = re.compile(r"(?P<name>[a-z-]+)(@(?P<count>[1-9]\d*))?(!(?P<signal>KILL|TERM))?")


@dataclass
class _Trap:
    name: str
    n_left: int
    signal: signal.Signals


_traps: list[_Trap] | None = None
_armed = ""


def crash_point(name: str, last_act: Callable[[], object] | None = None) -> None:
    """End the process here, if a test has armed this point.

    Args:
        name: of `ALL_POINTS`.
        last_act: what the process still does before it is killed, such as half of a write; after
            SIGTERM it goes on, and does the whole.
    """
    if _traps is None:
        return
    for trap in _traps:
        if trap.name == name:
            trap.n_left -= 1
            if trap.n_left == 0:
                if last_act is not None and trap.signal is signal.SIGKILL:
                    last_act()
                os.kill(os.getpid(), trap.signal)


def arm(
    traps: str, points: Collection[str] = (*DRIVER_POINTS, *PROMOTION_POINTS, *UPKEEP_POINTS, *INDEX_POINTS)
) -> None:
    """Arm points of this process.

    Args:
        traps: `name`, `name@3` for the third time it is passed, `name!TERM` for SIGTERM instead of
            SIGKILL; several with commas between them. Empty disarms all.
        points: those that count in this kind of process; the others are left to the other kind.

    Raises:
        ValueError: if there is no such point.
    """
    global _traps, _armed
    parsed = [_parse(text) for text in traps.split(",")] if traps else []
    _traps = [trap for trap in parsed if trap.name in points] or None
    _armed = traps


def arm_worker(traps: str, attempt: int) -> None:
    """Arm the worker of a trial's k-th attempt: with the k-th of the workers' points, if there are
    so many.

    Raises:
        ValueError: if there is no such point.
    """
    of_workers = [text for text in traps.split(",") if text and _parse(text).name in WORKER_POINTS]
    arm(of_workers[attempt - 1] if attempt <= len(of_workers) else "", WORKER_POINTS)


def armed() -> str:
    """What was armed, for worker processes to arm it too; empty if nothing was."""
    return _armed


def _parse(text: str) -> _Trap:
    match = _TRAP.fullmatch(text)
    if match is None or match["name"] not in ALL_POINTS:
        raise ValueError(f"A crash point is `name`, `name@2` or `name!TERM` with a name that exists, but got {text!r}.")
    return _Trap(match["name"], int(match["count"] or 1), signal.Signals[f"SIG{match['signal'] or 'KILL'}"])
