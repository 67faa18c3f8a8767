"""Forks drivers of sweeps, each a process that can be killed like any other, without seconds of
imports for each.

`python -m tests.chaos.driver_server` takes a line of JSON a launch (see `tests.chaos.drivers`),
answers with the driver's process id, and with how it ended when it has.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from core.crash_points import arm
from core.errors import WhosehandError
from search.experiment.experiment import load_experiment
from search.experiment.workspace import Workspace
from search.sweep.launch import launch_sweep
from search.sweep.progress import make_progress

EXIT_CODES = {"completed": 0, "failed": 1, "interrupted": 130}
REFUSED = 2


def drive(order: dict[str, Any]) -> int:
    """Be the driver of one launch, in the order's folder; returns the exit code."""
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(order["folder"])
    arm(order["crash_at"])
    try:
        experiment = load_experiment(Path(order["experiment"]), order["overrides"])
        launched = launch_sweep(experiment, Workspace(Path.cwd()), make_progress(Console(stderr=True)))
    except WhosehandError as error:
        print(f"error: {error}", flush=True)
        return REFUSED
    return EXIT_CODES[launched.outcome.status]


def main() -> None:
    """Take orders until there are no more."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                code = drive(json.loads(line))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
