"""A short part of `make chaos`."""

from pathlib import Path

import pytest

from tests.command_line import run_module

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def test_nothing_is_lost_doubled_or_left_running(tmp_path: Path) -> None:
    options = ["--minutes", "8", "--kills", "5", "--real-kills", "0", "--store-away-s", "0", "--step", "20"]
    run = run_module("tests.chaos", *options, "--folder", str(tmp_path))
    assert run.returncode == 0, (run.stdout, run.stderr)
    assert "| all | | |" in " ".join(run.stdout.split()), run.stdout
