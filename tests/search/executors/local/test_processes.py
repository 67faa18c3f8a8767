import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import environment

PROGRAM = """
import multiprocessing, sys, tempfile
from search.executors.local.processes import start_in_fork_server
from tests.search.executors.local.test_processes import write_blocked
process = multiprocessing.get_context("forkserver").Process(target=write_blocked, args=(sys.argv[1],))
start_in_fork_server(process, {}, tempfile.TemporaryFile())
process.join()
"""


def write_blocked(path: str) -> None:
    """Runs in the process that was started: the signals that it was born with blocked."""
    Path(path).write_text(
        " ".join(sorted(signal.Signals(each).name for each in signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    )


def test_the_first_process_is_born_deaf_to_what_stops_the_driver(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    command = [sys.executable, "-c", PROGRAM, str(blocked)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert blocked.read_text().split() == ["SIGHUP", "SIGINT", "SIGTERM"]


@pytest.mark.long
def test_a_process_starts_also_where_temporary_files_lie_too_deep_for_a_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 85)
    deep.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "said")],
        env=environment() | {"TMPDIR": str(deep)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "said").exists()
