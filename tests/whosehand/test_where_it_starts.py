"""Where people start sweeps: a script, a thread, an event loop, twice in one process, a kernel."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

import whosehand as wh
from tests.command_line import environment

ROOT = Path(__file__).parents[2]
QUICK = "def run(trial):\n    trial.report(1.0)\n    return trial.params['x'] + SHIFT\n\nSHIFT = {shift}\n"
SCRIPT = """\
import time
import whosehand as wh

print("the script begins")


def run(trial):
    for _ in range(trial.n_epochs):
        time.sleep(SECONDS)
        trial.report(1.0)
    return trial.params["x"]


SECONDS = {seconds}
sweep = wh.sweep(
    wh.Experiment(
        name="scripted",
        objective=wh.Objective(run=run),
        training=wh.Training(epochs={epochs}),
        budget=wh.Budget(trials=2),
        executor=wh.Executor(workers=2),
        space=wh.Space(dimensions=[wh.Real("x", 0, 1)]),
    ),
    progress=False,
)
print(sweep)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder whose MLflow store all tests here share."""
    folder = tmp_path_factory.mktemp("starts")
    (folder / "quick.py").write_text(QUICK.format(shift=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


def launch(name: str, n_trials: int = 2) -> wh.Sweep:
    experiment = wh.Experiment(
        name=name,
        objective="quick:run",
        budget=wh.Budget(trials=n_trials),
        executor=wh.Executor(workers=1),
        space=wh.Space(dimensions=[wh.Real("x", 0, 1)]),
    )
    return wh.sweep(experiment, progress=False)


def shift_of(sweep: wh.Sweep) -> float:
    return round(sweep.best_value - float(sweep.best_params["x"]), 6)


@pytest.mark.long
def test_a_thread_that_is_not_the_main_one_sweeps(project: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(launch, "thread").result().status == "completed"
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.long
def test_a_running_event_loop_sweeps(project: Path) -> None:
    async def sweep() -> tuple[wh.Sweep, wh.Sweep]:
        return launch("loop"), await asyncio.to_thread(launch, "beside-the-loop")

    assert [each.status for each in asyncio.run(sweep())] == ["completed", "completed"]


@pytest.mark.long
def test_a_module_that_was_edited_runs_as_it_is_in_the_next_sweep_of_the_same_process(project: Path) -> None:
    assert shift_of(launch("before")) == 0
    (project / "quick.py").write_text(QUICK.format(shift=7))
    try:
        assert shift_of(launch("after")) == 7
        with pytest.raises(wh.WhosehandError, match="the source of quick:run"):
            launch("before", n_trials=3)
    finally:
        (project / "quick.py").write_text(QUICK.format(shift=0))


@pytest.mark.long
def test_sweeps_run_at_once_in_several_threads_and_leave_the_process_as_it_was(project: Path) -> None:
    launch("first", 1)  # imports MLflow, whose switches we set
    main, variables, stderr = sys.modules["__main__"], dict(os.environ), os.fstat(2)
    names = ["at-once-a", "at-once-b", "at-once-c"]
    with ThreadPoolExecutor(3) as pool:
        sweeps = list(pool.map(lambda name: launch(name, 4), names))
    assert [(sweep.name, sweep.status, len(sweep.trials)) for sweep in sweeps] == [
        (name, "completed", 4) for name in names
    ]
    assert all(shift_of(sweep) == 0 for sweep in sweeps)
    assert sys.modules["__main__"] is main
    assert dict(os.environ) == variables
    assert os.path.samestat(os.fstat(2), stderr)


def run_script(folder: Path, seconds: float = 0.0, epochs: int = 2) -> "subprocess.Popen[str]":
    (folder / "script.py").write_text(SCRIPT.format(seconds=seconds, epochs=epochs))
    arguments = [sys.executable, "script.py"]
    return subprocess.Popen(arguments, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)


@pytest.mark.long
def test_a_script_without_a_guard_runs_once(tmp_path: Path) -> None:
    out, _ = run_script(tmp_path).communicate(timeout=120)
    first, last = out.splitlines()
    assert first == "the script begins"
    assert last.startswith("Sweep scripted: completed, 2 trials, best ")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_no_process_stays_behind_a_script_that_is(how: signal.Signals, tmp_path: Path) -> None:
    script = run_script(tmp_path, seconds=0.3, epochs=1000)
    try:
        there = _wait_for_workers(tmp_path, script.pid)
        script.send_signal(how)
        out, _ = script.communicate(timeout=120)
    finally:
        script.kill()
    assert ("Sweep scripted: interrupted" in out) == (how is signal.SIGINT)
    _, alive = psutil.wait_procs(there, timeout=20)
    assert alive == []


def _wait_for_workers(folder: Path, pid: int, n: int = 2) -> list[psutil.Process]:
    """All processes below `pid`, once so many trials have reported."""
    ends_s = time.monotonic() + 300
    while time.monotonic() < ends_s:
        try:
            sweep = wh.open_sweep("scripted", project=folder)
            if sum(trial.epochs > 0 for trial in sweep.trials) >= n:
                return psutil.Process(pid).children(recursive=True)
        except wh.WhosehandError:
            pass
        time.sleep(0.2)
    raise AssertionError("no worker started")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("how", ["interrupted", "restarted", "killed"])
def test_no_worker_stays_behind_a_notebook_kernel_that_is(how: str, tmp_path: Path) -> None:
    from jupyter_client.manager import KernelManager

    kernel = KernelManager(kernel_name="python3")
    kernel.start_kernel(cwd=str(tmp_path), env=environment())
    client = kernel.client()
    client.start_channels()
    pid: int = kernel.provisioner.pid  # type: ignore[union-attr]  # of a process of this machine
    try:
        client.wait_for_ready(timeout=60)
        asked = client.execute(SCRIPT.format(seconds=0.3, epochs=1000) + "sweep")
        there = _wait_for_workers(tmp_path, pid)
        trained = {wh.open_sweep("scripted", project=tmp_path).known().state.trials[n].starts[-1].pid for n in (0, 1)}
        assert trained <= {process.pid for process in there}
        if how == "interrupted":
            kernel.interrupt_kernel()
            reply = client.get_shell_msg(timeout=120)
            while reply["parent_header"]["msg_id"] != asked:
                reply = client.get_shell_msg(timeout=120)
            assert reply["content"]["status"] == "ok"
            assert wh.open_sweep("scripted", project=tmp_path).status == "interrupted"
        elif how == "restarted":
            kernel.restart_kernel(now=False)
        else:
            os.kill(pid, signal.SIGKILL)
        _, alive = psutil.wait_procs([process for process in there if process.pid in trained], timeout=20)
        assert alive == []
        if how != "interrupted":
            _, alive = psutil.wait_procs(there, timeout=20)
            assert alive == [], "the server that workers are forked from stayed behind"
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
