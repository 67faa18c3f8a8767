"""The base of everything that an experiment file can set, and the settings of ink, patches and
training.

They stand here and not in their rooms, because those need cv2 and scipy, and a file must be read
without.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from core.errors import ConfigError
from core.mistakes import explain


class Settings(BaseModel):
    """A frozen group of settings; an unknown key, a wrong type or a value out of range is refused.

    The docstring of each field says what it does, and in which unit; `search.experiment.experiment`
    puts the groups together to one experiment.
    """

    # Built at their first use: one build of the whole experiment instead of one of each group
    # besides. A traceback shows no input: it may hold a password.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, defer_build=True, hide_input_in_errors=True
    )

    def __init__(self, **values: Any) -> None:
        """Check and take the values.

        Raises:
            ConfigError: says for each wrong key what is wrong, in the words in which a file is
                refused.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            name = type(self).__name__.removesuffix("Settings")
            wrong = explain(error, type(self), values).values()
            raise ConfigError("\n".join(f"{name}: {sentence}." for sentence in wrong)) from None

    # Pydantic's own mark: a file is validated without this constructor, and its mistakes are told
    # with their lines.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]


START_FROM = re.compile(
    r"hands:(?P<writers>\d{1,6})|models:/(?P<model>[^/@:]+)(@(?P<alias>[\w.-]+)|/(?P<version>\d+))"
    r"|sweep:(?P<sweep>[a-z0-9][a-z0-9_-]*)/(?P<trial>\d+)"
)
"""What `training.start_from` may name."""
PrecisionChoice = Literal["auto", "float32", "mixed_bfloat16"]


class TrainingSettings(Settings):
    """How long a trial trains, and in which arithmetic."""

    epochs: int = Field(default=8, ge=1, le=10_000)
    """Full length of a trial (its horizon): the learning-rate schedule runs over all of it. An
    epoch is `patches.patches_per_epoch` patches, not one pass over the pages."""

    early_stopping_patience: int | None = Field(default=None, ge=1)
    """End a trial after so many epochs without a better objective; `null` never does."""

    precision: PrecisionChoice = "auto"
    """`auto` takes mixed_bfloat16 where the processor has the instructions for it, and float32
    elsewhere."""

    start_from: str | None = None
    """A trained network whose weights, all but the last layer's, every fit begins with:
    `models:/NAME@champion` or `models:/NAME/3` of the registry, `sweep:NAME/7` for trial 7 of a
    sweep, or `hands:500` for one that is trained on 500 generated writers first, once for each
    architecture. `null` begins with random ones."""

    @field_validator("start_from")
    @classmethod
    def _names_a_network(cls, start_from: str | None) -> str | None:
        found = START_FROM.fullmatch(start_from) if start_from is not None else None
        if start_from is not None and found is None:
            raise ValueError(
                "must be models:/NAME@champion, models:/NAME/VERSION, sweep:NAME/TRIAL or hands:N (N generated "
                f"writers), but got {start_from!r}"
            )
        if found is not None and found["writers"] is not None and int(found["writers"]) < 2:
            raise ValueError(f"must be of 2 generated writers or more, but got {start_from!r}")
        return start_from


class InkSettings(Settings):
    """How an image becomes text lines."""

    height_px: int = Field(default=113, ge=16, le=512)
    """The height of every line in the store, in pixels."""
    crop_to_ink: bool = True
    """Cut to the text and scale by it, so that the margins of an image do not set the size of its
    letters."""
    normalise_tone: bool = True
    """Paper to white and ink to black. Without it, pen colour and scanner can name the writer."""


def auto_or_positive(value: object) -> object:
    """Check a number that may be `auto`, before pydantic makes another one of it.

    Raises:
        ValueError: if it is neither `auto` nor an integer from 1.
    """
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise ValueError(f"must be `auto` or an integer from 1, but got {value!r}")


_EPOCH_TO_VALIDATION = 5
"""An epoch has so many times the patches of validation, where nothing is said."""


class PatchSettings(Settings):
    """Size, number and choice of patches."""

    size_px: Annotated[int, Field(ge=8, le=1024)] = 113
    """Side of a square patch in pixels of the line store; not more than ink.height_px."""

    fraction: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Most of a line's possible offsets that one epoch may use; every line may give at least one
    patch."""

    patches_per_epoch: Annotated[int, Field(ge=1)] = 10_000
    """Patches in one epoch of training, if the fraction allows that many."""

    min_ink: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of ink pixels below which a patch is near-empty and left out."""

    at: Literal["random", "ink"] = "random"
    """Where training patches lie: at `random` places, or at points of strokes' edges
    (`ink`)."""

    balance: bool = True
    """Equal numbers of training patches for all writers (as far as the fraction allows), not by
    length of text."""

    per_image_at_validation: int | Literal["auto"] = "auto"
    """Most patches of one image when a trial is validated, after each epoch. `auto`: a fifth of
    `patches_per_epoch` spread over the images, from one of each to `per_image_at_test`, which takes
    some 4 % of a trial's time (docs/results.md); 8 where pages by unseen writers are found."""

    per_image_at_test: Annotated[int, Field(ge=1)] = 32
    """Most patches of one image at test and when a writer is identified."""

    @field_validator("per_image_at_validation", mode="before")
    @classmethod
    def _is_auto_or_positive(cls, value: object) -> object:
        return auto_or_positive(value)

    def of_validation_image(self, n_images: int) -> int:
        """Most patches of each of so many validation images.

        >>> PatchSettings().of_validation_image(900), PatchSettings().of_validation_image(60)
        (2, 32)
        """
        if self.per_image_at_validation != "auto":
            return self.per_image_at_validation
        wanted = round(self.patches_per_epoch / _EPOCH_TO_VALIDATION / max(n_images, 1))
        return min(max(wanted, 1), self.per_image_at_test)


def _are_text(value: object) -> object:
    if isinstance(value, list) and any(not isinstance(item, str) for item in value):
        wrong = next(item for item in value if not isinstance(item, str))
        raise ValueError(
            f"ids must be text, but got {wrong!r}; write them in quotes, because YAML takes 007 for the number 7"
        )
    return tuple(value) if isinstance(value, list) else value  # settings are strict, and YAML knows no tuples


IdList = Annotated[tuple[str, ...] | Path, BeforeValidator(_are_text)]
"""Ids, or the path of a UTF-8 file with one id a line; empty lines and those that begin with `#` do
not count."""
