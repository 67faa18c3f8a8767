"""The process of MLflow's server, which ends with the process that started it, however that ends.

It is handed a pipe as its standard input, whose other end the starter holds. The system closes that
end when the starter is gone, also after SIGKILL; then the whole group of processes is ended.
"""

import os
import signal
import sys
import threading


def main() -> None:
    """Run `mlflow` with this process's arguments."""
    threading.Thread(target=_end_with_starter, name="starter-watch", daemon=True).start()
    from mlflow.cli import cli  # takes seconds, and the watch stands before it

    cli(sys.argv[1:], prog_name="mlflow")


def _end_with_starter() -> None:
    while os.read(0, 1024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
