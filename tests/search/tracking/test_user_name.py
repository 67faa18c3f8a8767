"""A container may run under a user id that has no entry in the list of users."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may take another user id")
def test_a_user_id_without_a_name_is_recorded_as_a_number() -> None:
    code = (
        "import getpass, importlib, logging, os, pwd, search\n"
        "os.setuid(54321)\n"
        "import search.tracking\n"
        "print(getpass.getuser())"
    )
    kept = {name: value for name, value in os.environ.items() if name not in ("LOGNAME", "USER", "LNAME", "USERNAME")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=kept | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "uid-54321", done.stderr
