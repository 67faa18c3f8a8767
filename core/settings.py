"""The base of everything that an experiment file can set."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen group of settings; an unknown key, a wrong type or a value out of range is refused.

    Subclasses lie beside the code that they steer, and say in each field's `description` what it does,
    in which unit; `search.experiment.experiment` puts them together to one experiment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
