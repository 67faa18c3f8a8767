"""What an experiment file can say about the KerasTuner engine; free of KerasTuner, so that reading a file stays fast.

Opening the engine imports KerasTuner, which imports TensorFlow into the driver: 3.5 s and 410 MB more than the 320 MB
that a driver has otherwise (2 cores, TensorFlow 2.21), nearly all of it TensorFlow's own. Only `open` does it.
"""

from typing import Literal

from pydantic import Field

from core.settings import Settings
from search.engines.base import Engine, EngineSettings


class KerasTunerSettings(Settings):
    """Search with KerasTuner."""

    name: Literal["keras_tuner"] = "keras_tuner"
    """The engine."""

    oracle: Literal["random", "bayesian", "grid", "hyperband"] = "bayesian"
    """How points are proposed: at random; by a Gaussian process over the finished trials; one after the other on a
    grid; or at random with few epochs at first, and only the best of each rung going on."""

    num_initial_points: int = Field(default=10, ge=1)
    """Finished trials before `bayesian` begins to learn; until then it proposes at random."""

    alpha: float = Field(default=1e-4, gt=0, allow_inf_nan=False)
    """Noise of a score that `bayesian` expects: what it adds to the diagonal of its kernel matrix."""

    beta: float = Field(default=2.6, ge=0, allow_inf_nan=False)
    """How much `bayesian` explores: the weight of a prediction's deviation against its mean."""

    grid_values: int = Field(default=10, ge=2)
    """The most values that `grid` tries of a number, spread evenly from low to high (where the dimension is
    logarithmic, in the logarithm). All choices of a categorical dimension are tried."""

    factor: int = Field(default=3, ge=2)
    """Of `hyperband`: one trial in so many goes on from a rung to the next, which is so many times longer."""

    hyperband_iterations: int | None = Field(default=None, ge=1)
    """How often `hyperband` goes through all its brackets; `null` until the budget is used up."""

    @property
    def label(self) -> str:
        """The engine in a few words, for tables and pictures."""
        return f"keras_tuner {self.oracle}"

    def open(self, settings: EngineSettings) -> Engine:
        """Return a fresh engine; `restore` has to be called before it is asked.

        Args:
            settings: what every engine is given.
        """
        # Imported here, because of what it costs; see above.
        from search.engines.keras_tuner.engine import KerasTunerEngine

        return KerasTunerEngine(self, settings)
