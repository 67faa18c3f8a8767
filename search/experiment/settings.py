"""The parts of an experiment file that steer the sweep itself: budget, executor, tracking,
promotion.
"""

import re
from datetime import datetime, time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationInfo, WrapValidator, field_validator, model_validator

from core.mistakes import WrongKeysError
from core.passwords import address_without_password
from core.settings import Settings, auto_or_positive
from search.experiment.mlflow_names import check_model_name
from search.experiment.secret_address import TRACKING_VARIABLE, Address, keep_address


class BudgetSettings(Settings):
    """When the sweep ends: at the first of these limits. One must be set."""

    trials: int | None = Field(default=None, ge=1)
    """Trials to start, with pruned and failed ones; `null` for no limit."""

    minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Working time of the sweep, all its sessions together; `null` for no limit."""

    patches: int | None = Field(default=None, ge=1)
    """Patches trained in all trials together; `null` for no limit."""

    until: str | None = None
    """A time of this machine's clock, `"18:00"` for the next one, or with a date,
    `"2027-03-01 18:00"`: running trials pause then and can go on another time; `null` for no limit.
    """

    includes: Literal["search", "promotion"] = "search"
    """Whether `minutes` and `until` are for the search alone, or for the promotion too: then the
    search leaves time for refit, sealed test and registration, and `whosehand sweep` promotes."""

    @field_validator("until", mode="before")
    @classmethod
    def _is_a_time(cls, value: object) -> object:
        if type(value) is int and 0 <= value < 24 * 60:  # YAML reads 18:00 without quotation marks as 18 * 60
            value = f"{value // 60:02}:{value % 60:02}"
        if isinstance(value, datetime):
            value = value.isoformat(" ")
        if isinstance(value, str):
            read_time(value)
        return value

    @model_validator(mode="after")
    def _has_a_limit(self) -> Self:
        if self.trials is None and self.minutes is None and self.patches is None and self.until is None:
            raise ValueError("must set `trials`, `minutes`, `patches` or `until`, or the sweep would never end")
        if self.includes == "promotion" and self.minutes is None and self.until is None:
            raise WrongKeysError({("includes",): "needs `minutes` or `until`, of which the promotion takes a part"})
        return self


def read_time(text: str) -> time | datetime:
    """Read a time of the day, or a date and a time, of this machine's clock.

    >>> read_time("18:00"), read_time("2027-03-01 18:00")
    (datetime.time(18, 0), datetime.datetime(2027, 3, 1, 18, 0))

    Raises:
        ValueError: if it is none of them.
    """
    try:
        return time.fromisoformat(text) if "-" not in text else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'must be a time such as "18:00" or "2027-03-01 18:00", but got {text!r}') from None


_RECORDED = "recorded"
"""Key of the validation context, see `is_recorded`."""
AS_RECORDED = {_RECORDED: True}
"""The validation context of settings that a ledger holds."""


def is_recorded(info: ValidationInfo) -> bool:
    """Whether settings are read from a ledger. What was launched once is read again, even where a
    later version would refuse to launch it.
    """
    return bool((info.context or {}).get(_RECORDED))


_HOST_AND_PORT = re.compile(r"[A-Za-z0-9._\-\[\]:]+:\d{1,5}")
_RAY_ONLY = ("address", "scratch")


class ExecutorSettings(Settings):
    """Where and how trials are run: on this machine, or on the nodes of a Ray cluster."""

    name: Literal["local", "ray"] = "local"
    """`local` trains on this machine, `ray` on all nodes of a Ray cluster (docs/cluster.md)."""

    address: str = "auto"
    """Of the Ray cluster: `auto` for the one that this machine belongs to, `host:port` of its head,
    or `local` for one of this machine alone that ends with the sweep."""

    workers: int | Literal["auto"] = "auto"
    """Trials trained at the same time, on each node where there are several; `auto` goes by
    processor cores and memory, or graphics cards.
    """

    threads: int | Literal["auto"] = "auto"
    """Threads of each worker; `auto` divides the cores among the workers, on each node for itself.
    A number gives the same bits on all nodes of one processor model."""

    scratch: str = "auto"
    """Folder of each Ray node for trials and line stores; `auto` is one below its folder for
    temporary files. It is better on the node's own disk than on a shared one."""

    max_attempts: int = Field(default=3, ge=1)
    """So many lost workers (killed or crashed) of one trial, and it has failed; before that it goes
    on from its last checkpoint. A trial that ran out of memory has failed at once; lost nodes do
    not count."""

    silent_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """A worker that reports no epoch for this long counts as lost and is ended; `null` for no
    limit. Time does not count while driver or worker are stopped or the machine sleeps."""

    min_free_mb: float = Field(default=500, ge=0, allow_inf_nan=False)
    """Free disk, in 10^6 bytes, that a sweep and each trial need to start; a running sweep waits
    for it. `0` for no limit."""

    @field_validator("workers", "threads", mode="before")
    @classmethod
    def _is_auto_or_positive(cls, value: object) -> object:
        return auto_or_positive(value)

    @field_validator("address")
    @classmethod
    def _is_an_address_of_ray(cls, address: str) -> str:
        if address in ("auto", "local") or _HOST_AND_PORT.fullmatch(address):
            return address
        shown = address_without_password(address)
        raise ValueError(
            f"must be `auto`, `local`, or host:port of the cluster's head, but got {shown!r}; "
            "run the sweep on a node of the cluster (Ray's client, ray://, is not used)"
        )

    @field_validator("scratch")
    @classmethod
    def _is_whole_path(cls, scratch: str) -> str:
        if scratch != "auto" and not Path(scratch).is_absolute():
            raise ValueError(f"must be `auto` or a path from the root, the same on all nodes, but got {scratch!r}")
        return scratch

    @model_validator(mode="after")
    def _keys_go_with_ray(self) -> Self:
        for key in _RAY_ONLY:
            if self.name != "ray" and key in self.model_fields_set and getattr(self, key) != "auto":
                raise WrongKeysError({(key,): "goes with `name: ray` only"})
        return self


KeepModels = Literal["all"] | int
DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")
SERVER_SCHEMES = ("http", "https")


class TrackingSettings(Settings):
    """Where the sweep is recorded, and how much of it."""

    uri: Annotated[str | None, WrapValidator(keep_address)] = None
    """Address of the MLflow store: `sqlite:///path/to.db`, another database, or `http(s)://` for a
    tracking server. The default is `mlruns/mlflow.db` in the current folder. Its password is best a
    variable of the environment: `postgresql://me:${DB_PASSWORD}@host/db`."""

    artifacts: str | None = None
    """Folder or address for files and models. The default is `artifacts` beside the SQLite file.
    With another database it must be given; a tracking server decides by itself."""

    keep_models: KeepModels = Field(default="all", union_mode="left_to_right")
    """`all` completed trials keep their model, or only the best N; 0 keeps none."""

    @field_validator("uri")
    @classmethod
    def _check_scheme(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        scheme = uri.split("://", 1)[0].split("+", 1)[0]
        allowed = (*DATABASE_SCHEMES, *SERVER_SCHEMES)
        if "://" not in uri or scheme not in allowed:
            raise ValueError(
                f"a tracking address starts with {', '.join(f'{name}://' for name in allowed[:-1])} or "
                f"{allowed[-1]}://, but got {address_without_password(uri)!r}; "
                "MLflow no longer keeps its records in plain folders"
            )
        return uri if isinstance(uri, Address) else Address.of(uri.rstrip("/"), TRACKING_VARIABLE)

    @field_validator("artifacts")
    @classmethod
    def _no_password(cls, artifacts: str | None) -> str | None:
        shown = address_without_password(artifacts or "", "***")
        if artifacts and (shown != artifacts or "${" in artifacts):
            raise ValueError(
                f"must hold no password, because MLflow writes it into its records, but got {shown!r}; give the "
                "password to MLflow by the environment or a key file, as its documentation says for each kind of store"
            )
        return artifacts

    @field_validator("keep_models")
    @classmethod
    def _check_keep_models(cls, keep_models: KeepModels) -> KeepModels:
        if keep_models != "all" and keep_models < 0:
            raise ValueError(f"`keep_models` is `all` or a number from 0, but got {keep_models}")
        return keep_models


class GateSettings(Settings):
    """What a model must meet to become champion, besides being better than the present champion."""

    min_top1: float = Field(default=0.0, ge=0, le=1)
    """Least share of test pages (of test images where there are no pages) that must be identified
    correctly; with `split.kind: writer` of those whose most similar page is by the same hand.
    """

    max_calibration_error: float = Field(default=0.1, ge=0, le=1)
    """How far stated probabilities and shares of correct answers may differ on test images, in the
    mean, beyond what chance explains."""

    max_false_reject_rate: float = Field(default=0.1, ge=0, le=1)
    """Share of validation pages whose known writers may be called unknown. Beyond it the model
    always names a known writer, and its card says so; this stops no model from becoming
    champion."""

    max_latency_s: float = Field(default=5.0, gt=0)
    """Most seconds that the loaded model may take for an image: the median, on the machine that
    promotes.
    """

    max_size_mb: float = Field(default=500.0, gt=0)
    """Most megabytes of the registered model, with its code and files."""


RefitPages = Literal["train", "all_but_test"]


class PromotionSettings(Settings):
    """How the best trial becomes a registered model."""

    model: str | None = None
    """Name in the model registry; `null` for `whosehand-` and the experiment's name."""

    epochs: int | None = Field(default=None, ge=1, le=100_000)
    """Length of the refit before the test pages are opened; `null` for three times
    `training.epochs`, or for what `minutes` allows.
    """

    minutes: float | None = Field(default=None, gt=0, le=100_000)
    """Longest refit in minutes, instead of `epochs`: as long as a further minute lowers the
    predicted validation log-loss by 0.001 nats, at most so many minutes at the trial's speed. What
    a longer fit gains is measured on a quarter and a half of the trial's epochs. Length pays; an
    hour is a normal answer.
    """

    members: int = Field(default=1, ge=1, le=9)
    """Refits under seeds of their own, which become one model: it answers by the mean of their
    log-probabilities, and costs as many times as much to train and to ask. Of whosehand's own
    networks only.
    """

    refit: RefitPages = "train"
    """Which pages the refit trains on: those of training, or also those of validation
    (`all_but_test`). Then no page is left to choose the number of epochs, the temperature and the
    thresholds by: they come from three cross-fits, each on two thirds of these pages, and the refit
    takes four times as long. Test pages stay sealed.
    """

    false_accept_rate: float = Field(default=0.05, gt=0, lt=1)
    """Share of pages by unknown writers (those that training never saw) that may be given a known
    writer's name.
    """

    gate: GateSettings = Field(default_factory=GateSettings)
    """What the refitted model must meet to become champion; one that does not is registered as
    challenger.
    """

    @model_validator(mode="after")
    def _has_one_length(self) -> Self:
        if self.epochs is not None and self.minutes is not None:
            raise WrongKeysError({("minutes",): "stands instead of `epochs`; give one of the two"})
        return self

    @field_validator("model")
    @classmethod
    def _can_be_registered(cls, model: str | None, info: ValidationInfo) -> str | None:
        if model is not None and not is_recorded(info):
            check_model_name(model)
        return model
