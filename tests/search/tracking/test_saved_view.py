import json

from search.tracking.runs import SearchFacts, saved_view, sweep_note, view_address


def test_a_view_shows_the_trials_alone_with_the_best_first() -> None:
    view = json.loads(saved_view("image_logloss", ["image_top1"], [f"h{k}" for k in range(20)], lower_is_better=True))
    state = json.loads(view["state"])
    assert view["name"] == "Trials, the best first"
    assert state["orderByKey"] == "metrics.`image_logloss`"
    assert state["orderByAsc"] is True
    assert state["searchFilter"] == "tags.kind != 'sweep'"
    assert "metrics.`image_top1`" in state["selectedColumns"]
    assert sum(column.startswith("params.") for column in state["selectedColumns"]) == 9


def test_the_address_names_view_and_experiment() -> None:
    address = view_address("http://localhost:5000", "3")
    assert address == (
        "http://localhost:5000/#/experiments/3/runs?workflowType=machine_learning&viewStateShareKey=trials"
    )


def test_an_experiments_note_says_what_it_is() -> None:
    note = sweep_note(SearchFacts("val/image_logloss", "minimize", 1), "Two schools of clerks.")
    assert note.startswith("Two schools of clerks.\n\nA sweep of whosehand: a run for each trial")
    assert "`image_logloss` (lower is better)" in note
