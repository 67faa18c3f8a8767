import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.networks.quiet_tensorflow import quiet_stderr

ROOT = Path(__file__).parents[3]


def test_what_is_written_below_python_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"noise of a C++ library\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"


def test_what_was_held_back_is_shown_when_the_block_raises(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(2, b"the reason\n")
        raise ImportError("no")

    with pytest.raises(ImportError), quiet_stderr():
        fail()
    assert capfd.readouterr().err == "the reason\n"


@pytest.mark.slow
def test_importing_tensorflow_and_keras_prints_nothing() -> None:
    code = "import core.networks.quiet_tensorflow, tensorflow, keras"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert (run.stdout, run.stderr) == ("", "")
