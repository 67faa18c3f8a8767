import os
import signal
import socket
import subprocess
from pathlib import Path

import psutil
import pytest
import requests

from tests.command_line import COMMAND, environment, still_there, whosehand


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_pages_answer_until_the_command_is_ended_and_nothing_stays(number: signal.Signals, tmp_path: Path) -> None:
    port = _free_port()
    process = subprocess.Popen(
        [str(COMMAND), "ui", "--port", str(port)],
        cwd=tmp_path,
        env=environment() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"MLflow is at http://127.0.0.1:{port} (Ctrl-C ends it)\n"
        assert requests.get(f"http://127.0.0.1:{port}/health", timeout=10).text == "OK"
        started = {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (-9 if number == signal.SIGKILL else 0)
        assert "Traceback" not in errors
        assert "reached from this machine alone" in errors
        assert still_there(started) == set()
    finally:
        process.kill()
        process.wait()


def test_a_taken_port_is_one_message(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert whosehand(tmp_path, "ui", "--port", str(port)).error.startswith("The pages need a free port")
