"""One experiment: everything that a sweep is, as one frozen, validated value, read from one YAML
file.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin

import yaml
from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, model_validator

from core.corpora.settings import CorpusSettings, UnusableSettings, WriterSettings
from core.errors import ConfigError, SpaceError
from core.mistakes import WrongKeysError, explain
from core.settings import InkSettings, PatchSettings, Settings, TrainingSettings
from core.space import Categorical, Value
from core.splits.settings import SplitSettings
from search.experiment.engine_settings import EngineChoice, OptunaSettings, judging_early
from search.experiment.file import read_experiment_file
from search.experiment.objective_settings import FIND_PAGES, RETRIEVAL_METRICS, TRAIN_PATCH_CNN, ObjectiveSettings
from search.experiment.own_code import Function, FunctionPath, OwnCode
from search.experiment.possible_values import impossible_networks, impossible_patches, impossible_subsets
from search.experiment.settings import (
    AS_RECORDED,
    BudgetSettings,
    ExecutorSettings,
    PromotionSettings,
    TrackingSettings,
    is_recorded,
)
from search.experiment.space_settings import OURS_ALONE, SpaceSettings


def _in_short(objective: Any) -> Any:
    """`objective: module:function` is short for `objective: {run: module:function}`; so is a
    function in Python.
    """
    return {"run": objective} if isinstance(objective, str) or callable(objective) else objective


class Experiment(Settings):
    """Everything that makes a sweep; written as one YAML file, one group of keys for each part.

    A part that is left out has its defaults; `name`, `corpus` and `budget` must be there.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)
    """Of the sweep, its folder and its model: small letters, digits, `-` and `_`."""

    description: str = ""
    """A few words for those who read the records later."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of all random choices but those of corpus and split, which have their own."""

    corpus: CorpusSettings | None = None
    """Whose handwriting: `layout` says how its files lie; the other keys depend on it. Only an
    `objective` of your own can do without."""

    writers: WriterSettings = Field(default_factory=WriterSettings)
    """Which writers and pages take part."""

    quarantine: UnusableSettings = Field(default_factory=UnusableSettings)
    """What to do about images that cannot be used."""

    split: SplitSettings = Field(default_factory=SplitSettings)
    """How the corpus is divided into training, validation and test; by page, unless something else
    is said.
    """

    ink: InkSettings = Field(default_factory=InkSettings)
    """How images become text lines of one height and tone."""

    patches: PatchSettings = Field(default_factory=PatchSettings)
    """Which patches are cut out of the lines."""

    space: SpaceSettings = Field(default_factory=SpaceSettings)
    """Where the search looks."""

    engine: EngineChoice = Field(default_factory=OptunaSettings)
    """Who searches. If nothing is said, or `auto`: `tpe`, with `median` from a quarter of a trial
    on where all networks have averaged weights, as in the presets `small`, `standard` and `large`
    (docs/engines.md)."""

    model: Function | None = None
    """A network of your own, `module:function`: called with the hyperparameters, the shape of a
    patch and the number of writers, it returns a Keras model. `null` builds whosehand's own."""

    training: TrainingSettings = Field(default_factory=TrainingSettings)
    """How long a trial trains."""

    budget: BudgetSettings
    """When the sweep ends; set one of `trials`, `minutes` and `patches`."""

    objective: Annotated[ObjectiveSettings, BeforeValidator(_in_short)] = Field(default_factory=ObjectiveSettings)
    """What makes a trial a good one."""

    executor: ExecutorSettings = Field(default_factory=ExecutorSettings)
    """How trials run on this machine."""

    tracking: TrackingSettings = Field(default_factory=TrackingSettings)
    """Where the records and models go."""

    promotion: PromotionSettings = Field(default_factory=PromotionSettings)
    """How the best trial becomes a registered model."""

    code: dict[str, OwnCode] = Field(default_factory=dict)
    """Filled in when a sweep is launched, not to be written: what `model` or `objective` was made
    of.
    """

    @model_validator(mode="after")
    def _own_code_has_its_space(self) -> Self:
        if not self.objective.is_own and self.corpus is None:
            description = " ".join((type(self).model_fields["corpus"].description or "").split())
            raise WrongKeysError({("corpus",): f"is missing. {description}"})
        if self.model is not None and self.objective.run != TRAIN_PATCH_CNN:
            rule = (
                f"is trained by whosehand ({TRAIN_PATCH_CNN}), but objective.run is {self.objective.run}; leave one out"
            )
            raise WrongKeysError({("model",): rule})
        if self.objective.is_own and self.engine.pauses and not self.objective.checkpoints:
            rule = (
                f"pauses trials ({self.engine.label}), which go on from their checkpoints, but {self.objective.run} "
                "leaves none; take another engine, or let it leave some and set objective.checkpoints: true"
            )
            raise WrongKeysError({("engine",): rule})
        names = self.space.own_names()
        if self.model is None and not self.objective.is_own:
            if names:
                raise WrongKeysError({("space", *keys): complaint for keys, complaint in names.items()})
            return self
        if self.model is not None and self.space.base == "default" and "base" in self.space.model_fields_set:
            raise WrongKeysError(
                {("space", "base"): "must be training or none with a `model` of your own, but got 'default'"}
            )
        if self.model is not None or names:
            # The narrow ranges of the other presets were measured with whosehand's own networks.
            own_network = {"base": "training", "preset": "pooled"}
            changes: dict[str, Any] = {**(own_network if self.model is not None else {"base": "none"}), "enqueue": ()}
            unsaid = {key: value for key, value in changes.items() if key not in self.space.model_fields_set}
            object.__setattr__(self, "space", self.space.model_copy(update=unsaid))
            try:
                self.space.search_space()
            except SpaceError as error:
                raise WrongKeysError({("space",): f"{error}"}) from error
        return self

    @model_validator(mode="after")
    def _is_judged_as_it_is_divided(self) -> Self:
        if self.split.kind != "writer":
            if self.objective.metric in RETRIEVAL_METRICS and not self.objective.is_own:
                rule = "is of writers that training has not seen: it needs `split: {kind: writer}`"
                raise WrongKeysError({("objective", "metric"): rule})
            return self
        if self.objective.run != TRAIN_PATCH_CNN:
            rule = f"is judged by whosehand's own training alone, but objective.run is {self.objective.run}"
            raise WrongKeysError({("split", "kind"): rule})
        if "metric" not in self.objective.model_fields_set:
            object.__setattr__(self, "objective", self.objective.model_copy(update={"metric": FIND_PAGES}))
        if self.objective.metric not in RETRIEVAL_METRICS:
            rule = (
                f"must be one of {', '.join(RETRIEVAL_METRICS)} with `split: {{kind: writer}}`, because no writer in "
                f"validation is among those that a network can name, but got {self.objective.metric!r}"
            )
            raise WrongKeysError({("objective", "metric"): rule})
        return self

    @model_validator(mode="after")
    def _judges_early_where_that_tells(self, info: ValidationInfo) -> Self:
        """Scores of averaged weights tell a trial's end early (docs/results.md)."""
        if is_recorded(info) or not self.trains_our_networks or not isinstance(self.engine, OptunaSettings):
            return self
        averages = [each for each in self.space.search_space().dimensions if each.name == "average_weights"]
        says_nothing = self.engine.model_fields_set <= {"name", "storage"}
        if says_nothing and averages == [Categorical("average_weights", (True,))]:
            object.__setattr__(self, "engine", judging_early(self.engine, self.training.epochs))
        return self

    @model_validator(mode="after")
    def _is_possible(self, info: ValidationInfo) -> Self:
        if self.corpus is None or is_recorded(info):
            return self
        mistakes = {
            **impossible_patches(self.ink, self.patches),
            **impossible_subsets(self.corpus, self.writers, self.split),
        }
        if self.promotion.members > 1 and not self.trains_our_networks:
            mistakes["promotion", "members"] = "must be 1 with a network or an objective of your own"
        if self.training.start_from is not None and not self.trains_our_networks:
            mistakes["training", "start_from"] = "is for whosehand's own networks: leave it out with one of your own"
        elif (self.training.start_from or "").startswith("hands:") and self.executor.name != "local":
            rule = (
                "trains a network on generated writers where trials run, which nodes of a cluster cannot share: run "
                "one trial with `executor: {name: local}`, and begin with its network (sweep:NAME/TRIAL)"
            )
            mistakes["training", "start_from"] = rule
        if self.promotion.refit == "all_but_test" and (why := self.why_no_cross_fits):
            mistakes["promotion", "refit"] = f"must be train, because {why}"
        if not mistakes and self.trains_our_networks:
            mistakes |= impossible_networks(self.patches, self.space.search_space(), self.space.fixed)
        if mistakes:
            raise WrongKeysError(mistakes)
        return self

    @property
    def trains_our_networks(self) -> bool:
        """Whether the networks are whosehand's, and not the user's."""
        return self.model is None and self.objective.run == TRAIN_PATCH_CNN

    @property
    def why_no_cross_fits(self) -> str:
        """Why a refit cannot train on validation pages too; empty if it can."""
        if self.split.kind == "writer":
            return "split.kind is writer: validation is of writers whom training must not see"
        if self.split.kind == "text":
            return "split.kind is text: pages that a cross-fit holds out have texts that it would train on"
        if self.objective.is_own:
            return f"{self.objective.run} may need validation pages"
        if self.training.start_from is not None and not self.training.start_from.startswith("hands:"):
            return f"{self.training.start_from} may have seen pages that a cross-fit holds out (training.start_from)"
        return ""

    def complete(self, point: Mapping[str, Value]) -> dict[str, Value]:
        """All hyperparameters of a trial: those of the point, the fixed ones, and the defaults
        where ours are used.
        """
        if self.objective.is_own:
            return {**self.space.fixed, **point}
        return self.space.complete(point) if self.model is None else self.space.complete_training(point)

    def own_functions(self) -> tuple[str, ...]:
        """The functions of the user's own, `module:function`."""
        return tuple(path for path in (self.model, self.objective.run if self.objective.is_own else None) if path)

    @property
    def handwriting(self) -> CorpusSettings:
        """The corpus, for what cannot do without.

        Raises:
            ConfigError: if the experiment has none.
        """
        if self.corpus is None:
            raise ConfigError(f"This needs handwriting, but the experiment {self.name!r} has no `corpus`.")
        return self.corpus

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> "Experiment":
        """Read and check an experiment file.

        Args:
            path: of the YAML file.
            overrides: `a.b=value` texts that win over the file, the value in YAML.

        Raises:
            ConfigError: lists every mistake in a line of its own, with place, key, value and what
                is allowed.
        """
        return load_experiment(Path(path), overrides)

    def to_yaml(self, path: str | Path | None = None) -> str:
        """The experiment as a file says it; what has its default is left out.

        Args:
            path: write the file here, too; an existing one is replaced.

        Returns:
            The file's text; `Experiment.load` makes an equal experiment of it.

        Raises:
            ConfigError: if a function is of a notebook, of `__main__`, nested or a lambda: a file
                cannot hold it.
        """
        for function in self.own_functions():
            if isinstance(function, FunctionPath) and not function.can_be_imported:
                key = "model" if function is self.model else "objective"
                raise ConfigError(
                    f"`{key}` is a function that only this Python process knows ({function}), and a file cannot hold "
                    "it. Move it into a module, and import it from there."
                )
        text = yaml.safe_dump(_stated(self), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text

    @property
    def model_name(self) -> str:
        """Name of the promoted model in the registry."""
        return self.promotion.model or f"whosehand-{self.name}"

    @classmethod
    def of_ledger(cls, snapshot: Mapping[str, Any]) -> "Experiment":
        """Read a snapshot that a sweep was launched with, by this version or an earlier one.

        Raises:
            pydantic.ValidationError: if it has keys or values that this version does not know.
        """
        return cls.model_validate(dict(snapshot), context=AS_RECORDED)

    def snapshot(self) -> dict[str, Any]:
        """The whole experiment in plain JSON values, defaults written out."""
        return self.model_dump(mode="json")


def load_experiment(path: Path, overrides: Sequence[str] = (), needs_budget: bool = True) -> Experiment:
    """Read and check an experiment file.

    Args:
        path: of the YAML file.
        overrides: `a.b=value` texts that win over the file, the value in YAML.
        needs_budget: False for what trains nothing; a file without `budget` has one trial then.

    Raises:
        ConfigError: lists every mistake in a line of its own, with place, key, value and what is
            allowed.
    """
    file = read_experiment_file(path, overrides)
    if not needs_budget:
        file.tree.setdefault("budget", {"trials": 1})
    try:
        # Through JSON, because strict validation takes lists for tuples and text for paths only
        # there.
        text, context = json.dumps(file.tree, default=str), {OURS_ALONE: not _names_own_code(file.tree)}
        return _beside(Experiment.model_validate_json(text, strict=True, context=context), path.parent)
    except ValidationError as error:
        wrong = explain(error, Experiment, file.tree)
        in_order = sorted(wrong, key=lambda keys: file.lines.get(keys, 0))
        raise ConfigError("\n".join(f"{file.place_of(keys)}: {wrong[keys]}." for keys in in_order)) from error


def _names_own_code(tree: Mapping[str, Any]) -> bool:
    objective = _in_short(tree.get("objective"))
    run = objective.get("run") if isinstance(objective, Mapping) else None
    return tree.get("model") is not None or (isinstance(run, str) and not run.startswith("search."))


def _beside(experiment: Experiment, folder: Path) -> Experiment:
    """Look for the functions of the user's own beside the experiment file first."""
    changes: dict[str, Any] = {}
    if experiment.model is not None:
        changes["model"] = FunctionPath.beside(experiment.model, folder)
    if experiment.objective.is_own:
        run = FunctionPath.beside(experiment.objective.run, folder)
        changes["objective"] = experiment.objective.model_copy(update={"run": run})
    return experiment.model_copy(update=changes)


def _stated(settings: Settings) -> dict[str, Any]:
    """The keys and values that differ from the defaults, and those that say which member of a union
    is meant.
    """
    plain, stated = settings.model_dump(mode="json"), {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if name == "code" and isinstance(settings, Experiment):
            continue
        is_tag = get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
        if is_tag or value != field.get_default(call_default_factory=True):
            stated[name] = _stated(value) if isinstance(value, Settings) else plain[name]
    return stated
