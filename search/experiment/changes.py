"""How the experiment that a sweep goes on with differs from the one that it was launched with: in
what must not change, and in what may.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from core.passwords import without_passwords
from search.experiment.experiment import Experiment

_MAY_CHANGE = ("name", "description", "budget", "executor", "tracking", "promotion")
_WITH_ANOTHER_DEFAULT = {
    "space": ("preset", "enqueue"),
    "training": ("epochs",),
    "patches": ("patches_per_epoch", "per_image_at_validation"),
    "engine": ("pruner", "pruner_warmup_epochs", "rung_first_epoch"),
    "objective": ("metric",),
}
"""Keys of which an earlier version had another default."""


def identity_of(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an experiment's snapshot that must not change when a sweep goes on: what decides
    a trial's score.

    Not in it: name and description, budget, executor, tracking and promotion, which say when, where
    and how trials run and are kept; and the engine's storage, a projection of the ledger that may
    move.
    """
    kept = {key: value for key, value in snapshot.items() if key not in _MAY_CHANGE}
    if isinstance(kept.get("engine"), Mapping):
        kept["engine"] = {key: value for key, value in kept["engine"].items() if key != "storage"}
    if isinstance(kept.get("code"), Mapping):
        kept["code"] = {
            path: {"sha256": code["sha256"], "packages": code["packages"]} for path, code in kept["code"].items()
        }
    return kept


def differences(old_snapshot: Mapping[str, Any], new: Experiment) -> list[str]:
    """What of a sweep's identity is no longer as it was, one `key: old -> new` each; empty if the
    sweep may go on.

    A key that this version of whosehand has and the snapshot's had not counts with its default.
    """
    old_values, new_values = _flat(_identity_with_new_keys(old_snapshot)), _flat(identity_of(new.snapshot()))
    keys = [*old_values, *(key for key in new_values if key not in old_values)]
    absent = "(not there)"
    return [
        _difference(key, old_values.get(key, absent), new_values.get(key, absent))
        for key in keys
        if old_values.get(key, absent) != new_values.get(key, absent)
    ]


def as_begun(new: Experiment, old_snapshot: Mapping[str, Any]) -> Experiment:
    """The experiment as a sweep was begun, where its file says nothing and today's default is
    another one.
    """
    old, changes = Experiment.of_ledger(old_snapshot), {}
    for group, keys in _WITH_ANOTHER_DEFAULT.items():
        ours, theirs = getattr(new, group), getattr(old, group)
        same = type(ours) is type(theirs)  # not so with another engine
        unsaid = [key for key in keys if same and key in type(ours).model_fields and key not in ours.model_fields_set]
        kept = {key: getattr(theirs, key) for key in unsaid}
        changes[group] = ours.model_copy(update=kept)
    return new.model_copy(update=changes)


def _difference(key: str, old: str, new: str) -> str:
    if key.startswith("code.") and key.endswith(".sha256"):
        return f"the source of {key.removeprefix('code.').removesuffix('.sha256')}: {old[:13]}... -> {new[:13]}..."
    return f"{key}: {old} -> {new}"


def free_changes(old_snapshot: Mapping[str, Any], new: Experiment) -> list[str]:
    """What has changed of the keys that may change while a sweep goes on, one `key: old -> new`
    each.
    """
    old_values, new_values = _flat(old_snapshot), _flat(new.snapshot())
    fixed = _flat(identity_of(new.snapshot()))
    return [
        f"{key}: {old_values[key]} -> {value}"
        for key, value in new_values.items()
        if key not in fixed and key in old_values and old_values[key] != value
    ]


def _identity_with_new_keys(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return identity_of(Experiment.of_ledger(snapshot).snapshot())
    except ValidationError:  # it has keys that this version has not; they are named as differences
        return identity_of(snapshot)


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Dotted keys, and each value as JSON, in which 1, 1.0 and true differ."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = without_passwords(json.dumps(value, sort_keys=True))  # 0.1 wrote some down
    return flat
