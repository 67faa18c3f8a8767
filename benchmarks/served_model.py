"""A promoted model behind `mlflow models serve`, in an environment that holds its pinned
requirements and nothing else.

    python -m benchmarks.served_model MODEL_FOLDER IMAGE... [--environment FOLDER] [--requests 200]

Says whether the answers are those of the model here, what a bad image gets, and how memory grows
over requests in a row. The environment is made and filled by pip (TensorFlow: 600 MB) if it is not
there; with `--environment here` the present one serves, with other projects' `core` and `search` in
the way.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import requests
import typer

from benchmarks.report import notes, print_report
from benchmarks.short_sweep import temporary_folder
from search.identification.model_process import ModelProcess

_START_TIMEOUT_S = 300.0


def main(
    model: Annotated[Path, typer.Argument(help="Folder of a promoted model.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Pages, lines or words.")],
    environment: Annotated[str, typer.Option(help="Folder of the virtual environment, or `here`.")] = "here",
    n_requests: Annotated[int, typer.Option("--requests", min=2, help="Requests in a row.")] = 200,
) -> None:
    """Serve a model over loopback and ask it."""
    with temporary_folder() as folder:
        executable = Path(sys.executable) if environment == "here" else _environment(Path(environment), model)
        with serve(model, executable, others_in_the_way(folder)) as server:
            difference = _largest_difference(model, images, server.url)
            status, reason = ask(server.url, b"no image")
            memory_mb, times_s = [server.memory_mb()], []
            for k in range(n_requests):
                started = time.perf_counter()
                ask(server.url, images[k % len(images)].read_bytes())
                times_s.append(time.perf_counter() - started)
                memory_mb.append(server.memory_mb())
    settled = memory_mb[1 + n_requests // 10 :]
    rows = [
        ("largest difference of a probability", f"{difference:.1e}"),
        ("status for a bad image", str(status)),
        ("median request", f"{float(np.median(times_s)):.3f} s"),
        (f"memory after {n_requests // 10} requests", f"{settled[0]:.0f} MB"),
        (f"memory after {n_requests} requests", f"{settled[-1]:.0f} MB"),
        ("most in between", f"{max(settled):.0f} MB"),
    ]
    print_report(
        "A served model", ("what", "figure"), rows, [f"a bad image gets: {reason['message'].splitlines()[-1]}"]
    )


class Server:
    """A running scoring server."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"

    def memory_mb(self) -> float:
        """Of the server and the processes that it started."""
        own = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (own, *own.children(recursive=True))) / 1e6


@contextmanager
def serve(model: Path, executable: Path, python_path: Path) -> Iterator[Server]:
    """Serve a model with `mlflow models serve` until the block ends.

    Args:
        model: folder.
        executable: the interpreter of the environment that serves.
        python_path: goes before everything that is installed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    unwanted = ("PYTHON", "MLFLOW", "VIRTUAL_ENV")
    variables = {key: value for key, value in os.environ.items() if not key.startswith(unwanted)}
    variables |= {
        "PYTHONPATH": str(python_path),
        "PATH": f"{executable.parent}{os.pathsep}{os.environ['PATH']}",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [str(executable), "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
    log = python_path.parent / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--model-uri", str(model.absolute()), "--port", str(port)],
            cwd=python_path,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(process, port)
    try:
        _wait(server, log)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(url: str, content: bytes, timeout_s: float = 120, **params: Any) -> tuple[int, Any]:
    """Ask a server about an image; the status and the JSON that came back."""
    body: Any = {"dataframe_records": [{"image": base64.b64encode(content).decode()}], "params": params}
    answer = requests.post(f"{url}/invocations", json=body, timeout=timeout_s)
    return answer.status_code, answer.json()


def others_in_the_way(folder: Path) -> Path:
    """A folder with a `core` and a `search` of another project, which fail when they are
    imported.
    """
    python_path = folder / "others"
    for name in ("core", "search"):
        (python_path / name).mkdir(parents=True)
        (python_path / name / "__init__.py").write_text("raise RuntimeError('this is another project')\n")
    return python_path


def _wait(server: Server, log: Path) -> None:
    ends_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < ends_s:
        if server.process.poll() is not None:
            break
        try:
            if requests.get(f"{server.url}/ping", timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.5)
    raise RuntimeError(f"The server did not start: {log.read_text(errors='replace')[-3000:]}")


def _environment(folder: Path, model: Path) -> Path:
    executable = folder.absolute() / "bin" / "python"
    if not executable.exists():
        notes.print(f"filling {folder} with {model / 'requirements.txt'} ...")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(executable), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", str(model / "requirements.txt")], check=True)
    return executable


def _largest_difference(model: Path, images: list[Path], url: str) -> float:
    differences: list[float] = []
    with ModelProcess(model) as here:
        for path in images:
            row, (status, answer) = here.ask(path, {"top": 0}), ask(url, path.read_bytes(), top=0)
            if status != 200:
                raise RuntimeError(f"{path} got status {status}: {json.dumps(answer)}")
            served = {writer["writer_id"]: writer["probability"] for writer in answer["predictions"][0]["ranking"]}
            differences += [abs(served[writer["writer_id"]] - writer["probability"]) for writer in row["ranking"]]
    return max(differences)


if __name__ == "__main__":
    typer.run(main)
