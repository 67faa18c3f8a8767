"""A finished, a running and a promoted project are moved and copied; each then goes on as if it had
been made where it is, and an original stays bit for bit as it was.
"""

import hashlib
import shutil
from pathlib import Path

import pytest

from search.ledger.ledger import read_ledger
from search.ledger.trial import TrialState
from tests.command_line import Answer, records_of, running_sweep, whosehand, write_experiment

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]
MODEL = "whosehand-tiny"
KINDS = ("finished", "running", "promoted")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A project of each kind, to be copied only."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in KINDS}
    experiment = write_experiment(folders["running"], {"budget": {"trials": 2}})
    with running_sweep(folders["running"], experiment) as sweep:
        sweep.wait_until(lambda state: state.count(TrialState.COMPLETED) == 1)
        sweep.kill()
    for kind in ("finished", "promoted"):
        _run(folders[kind], "sweep", write_experiment(folders[kind], {"budget": {"trials": 2}}).name)
    _run(folders["promoted"], "promote", "tiny", "--accept")
    return folders


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("became", ["moved", "copied"])
def test_it_sweeps_promotes_identifies_and_collects_where_it_is_now(
    kind: str, became: str, originals: dict[str, Path], tmp_path: Path
) -> None:
    home, now = tmp_path / "home", tmp_path / "now"
    _settle_in(originals[kind], home)
    before = _contents(home)
    if became == "moved":
        home.rename(now)
    else:
        shutil.copytree(home, now)
    said = {"moved": f"moved from {home}", "copied": f"in {now}, is a copy of the one in {home}"}
    assert said[became] in whosehand(now, "sweep", "tiny.yaml").error
    _run(now, "doctor", "--apply")
    _run(now, "sweep", "tiny.yaml")
    _run(now, "promote", "tiny", "--accept")
    _run(now, "identify", str(next((now / "data" / "hands").rglob("*.png"))))
    _run(now, "gc", "--keep", "1", "--apply")
    _run(now, "reconcile", "tiny")
    state = read_ledger(now / "mlruns" / "sweeps" / "tiny")
    assert [trial.state for trial in state.trials.values()] == [TrialState.COMPLETED] * 2
    with records_of(now) as client:
        assert len(client.search_model_versions(f"name = '{MODEL}'")) == 1
        champion = client.get_model_version_by_alias(MODEL, "champion")
        location = client.get_model_version_download_uri(MODEL, champion.version)
    assert Path(location).is_relative_to(now)
    if became == "copied":
        assert _contents(home) == before


def _settle_in(original: Path, home: Path) -> None:
    """A copy that counts as at home there."""
    shutil.copytree(original, home)
    _run(home, "doctor", "--apply", "--as", "moved")


def _run(folder: Path, *arguments: str) -> Answer:
    answer = whosehand(folder, *arguments)
    assert answer.code == 0, answer
    return answer


def _contents(folder: Path) -> dict[str, str]:
    """Hashes of all files but locks, which a look opens."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
