"""Launches of sweeps in processes of their own, to be killed."""

from dataclasses import dataclass
from pathlib import Path

from search.cli.main import CRASH_VARIABLE
from tests.command_line import environment, warm_commands
from tests.warm_command import WarmProcess


@dataclass(frozen=True)
class RunningDriver:
    """A launch that may still be running.

    Attributes:
        process: of the driver, which heads a process group of its own.
        log: what it prints.
    """

    process: WarmProcess
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def end(self) -> int:
        """Wait for its end; returns its exit code, negative for a signal."""
        return self.process.wait()


def start_driver(folder: Path, experiment: Path, crash_at: str = "") -> RunningDriver:
    """Launch a sweep in a workspace folder, or go on with it.

    Args:
        folder: that it runs in.
        experiment: its file.
        crash_at: where it is to kill itself, see `core.crash_points`.
    """
    log = folder / f"{experiment.stem}.log"
    variables = environment() | {CRASH_VARIABLE: crash_at}
    with log.open("ab") as said:
        command = warm_commands().start(folder, ["sweep", str(experiment)], variables, said, said, leads_a_group=True)
    return RunningDriver(command, log)
