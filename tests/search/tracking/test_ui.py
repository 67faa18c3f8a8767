import os
import socket
from pathlib import Path

import pytest
import requests

from core.errors import TrackingError
from search.tracking.store import TrackingStore
from search.tracking.ui import page_of, start_ui


@pytest.mark.slow
@pytest.mark.long
def test_the_pages_show_the_store_with_few_processes_and_leave_none_behind(store: TrackingStore) -> None:
    experiment_id = store.client().create_experiment("toy")
    running = start_ui(store)
    try:
        found = requests.get(
            f"{running.url}/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": "toy"}, timeout=30
        )
        assert found.json()["experiment"]["experiment_id"] == experiment_id
        assert page_of(store, "toy", running.url).startswith(f"{running.url}/#/experiments/{experiment_id}/runs")
        with pytest.raises(TrackingError, match="Nothing is recorded of a sweep 'another'"):
            page_of(store, "another", running.url)
        create = f"{running.url}/api/2.0/mlflow/experiments/create"
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Host": "192.168.1.7:5000"}):
            assert requests.post(create, json={"name": "theirs"}, headers=headers, timeout=30).status_code == 403
        forwarded = {"Host": "localhost:6000"}  # ssh -L 6000:localhost:5000
        assert requests.post(create, json={"name": "ours"}, headers=forwarded, timeout=30).ok
        group = _processes_of_group(running.server.pid)
        assert len(group) <= 3
    finally:
        running.stop()
    assert _processes_of_group(running.server.pid) == []


def test_a_port_that_is_taken_is_a_clear_error(store: TrackingStore) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(TrackingError, match="is taken"):
            start_ui(store, port=taken.getsockname()[1])


def test_a_port_out_of_range_is_a_clear_error(store: TrackingStore) -> None:
    with pytest.raises(TrackingError, match="1 to 65535, but got 70000"):
        start_ui(store, port=70000)


def test_a_tracking_server_shows_its_pages_itself() -> None:
    with pytest.raises(TrackingError, match="open http://host:5000 in a browser"):
        start_ui(TrackingStore("http://host:5000", None))


def _processes_of_group(group: int) -> list[int]:
    """Living processes of a process group; a zombie that waits for its parent is none."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if os.getpgid(int(entry.name)) == group and state != "Z":
                    members.append(int(entry.name))
            except (ProcessLookupError, FileNotFoundError):
                continue
    return members
