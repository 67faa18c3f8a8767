import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from core.errors import RegistryError
from search.tracking.aliases import ChampionMovedError, challenge, history, restore_previous, set_champion
from search.tracking.registry import champion, find_alias, register_version
from search.tracking.store import TrackingStore, open_store
from tests.search.promotion.logged_model import logged_model

NAME = "whosehand-toy"


def _register(store: TrackingStore, tmp_path: Path, n: int) -> None:
    for _ in range(n):
        register_version(store, NAME, logged_model(store, tmp_path), {})


def _who(store: TrackingStore, alias: str) -> int | None:
    found = find_alias(store, NAME, alias)
    return None if found is None else found.version


def test_a_new_champion_makes_the_former_one_previous(store: TrackingStore, tmp_path: Path) -> None:
    _register(store, tmp_path, 2)
    assert set_champion(store, NAME, 1, None) is None
    former = set_champion(store, NAME, 2, 1)
    assert former is not None
    assert former.version == 1
    assert (champion(store, NAME).version, _who(store, "previous")) == (2, 1)
    assert set_champion(store, NAME, 2, None) is None  # again: nothing moves


def test_a_rollback_and_another_one_change_places(store: TrackingStore, tmp_path: Path) -> None:
    _register(store, tmp_path, 2)
    set_champion(store, NAME, 1, None)
    with pytest.raises(RegistryError, match="no former champion"):
        restore_previous(store, NAME)
    set_champion(store, NAME, 2, 1)
    for expected in ((1, 2), (2, 1)):
        now, former = restore_previous(store, NAME)
        assert former is not None
        assert (now.version, former.version) == expected
        assert (champion(store, NAME).version, _who(store, "previous")) == expected


def test_a_challenger_moves_no_champion_and_loses_the_alias_once_it_passes(
    store: TrackingStore, tmp_path: Path
) -> None:
    _register(store, tmp_path, 2)
    set_champion(store, NAME, 1, None)
    challenge(store, NAME, 2)
    assert (_who(store, "champion"), _who(store, "challenger"), _who(store, "previous")) == (1, 2, None)
    set_champion(store, NAME, 2, 1)
    assert (_who(store, "champion"), _who(store, "challenger"), _who(store, "previous")) == (2, None, 1)


def test_the_history_says_what_happened_in_order(store: TrackingStore, tmp_path: Path) -> None:
    _register(store, tmp_path, 3)
    set_champion(store, NAME, 1, None)
    challenge(store, NAME, 2)
    set_champion(store, NAME, 3, 1)
    restore_previous(store, NAME)
    assert [(entry.version, entry.event) for entry in history(store, NAME)] == [
        (1, "champion"),
        (2, "challenger"),
        (1, "previous"),
        (3, "champion"),
        (3, "previous"),
        (1, "champion again (rollback)"),
    ]
    with pytest.raises(RegistryError, match="No model is registered under 'other'"):
        history(store, "other")


def test_only_a_registered_version_can_be_champion(store: TrackingStore, tmp_path: Path) -> None:
    _register(store, tmp_path, 1)
    with pytest.raises(RegistryError, match="no version 9"):
        set_champion(store, NAME, 9, None)


def test_who_was_judged_against_another_champion_is_not_made_champion(store: TrackingStore, tmp_path: Path) -> None:
    _register(store, tmp_path, 3)
    set_champion(store, NAME, 1, None)
    set_champion(store, NAME, 2, 1)
    with pytest.raises(ChampionMovedError, match="judged against version 1, but meanwhile version 2 became champion"):
        set_champion(store, NAME, 3, 1)
    with pytest.raises(ChampionMovedError, match="judged against no champion"):
        set_champion(store, NAME, 3, None)
    assert champion(store, NAME).version == 2


def _set_champion_in_own_process(root: Path, version: int, start: Any, queue: Any) -> None:
    own = open_store(root=root)
    start.wait()
    try:
        set_champion(own, NAME, version, 1)
        queue.put((version, "champion"))
    except ChampionMovedError:
        queue.put((version, "moved"))


@pytest.mark.slow
@pytest.mark.long
def test_of_two_promotions_at_once_one_becomes_champion_and_the_other_told(
    store: TrackingStore, tmp_path: Path
) -> None:
    _register(store, tmp_path, 3)
    set_champion(store, NAME, 1, None)
    context = multiprocessing.get_context("spawn")
    start, queue = context.Barrier(3), context.Queue()
    processes = [context.Process(target=_set_champion_in_own_process, args=(tmp_path, n, start, queue)) for n in (2, 3)]
    for process in processes:
        process.start()
    start.wait(timeout=240)
    # A reader finds a champion at every moment.
    seen = {_who(store, "champion") for _ in range(40)}
    outcomes = dict(queue.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    assert sorted(outcomes.values()) == ["champion", "moved"]
    (winner,) = (version for version, outcome in outcomes.items() if outcome == "champion")
    assert (champion(store, NAME).version, _who(store, "previous")) == (winner, 1)
    assert seen <= {1, winner}
