"""KerasTuner's Hyperband, and MLflow's autologging, after their documentation."""

from typing import Any

import keras
import keras_tuner
import mlflow

from benchmarks.peers.job import SEED, EpochLog, build, data, experiment


class Network(keras_tuner.HyperModel):
    """The network, and how it is fitted: its batch size is searched, too."""

    def __init__(self) -> None:
        super().__init__()
        self._experiment = experiment()
        self.x, self.y, self.validation = data()
        self._n = self._experiment.patches.patches_per_epoch or len(self.x)
        self.epochs = self._experiment.training.epochs
        self._n_built = 0

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A compiled network."""
        space = self._experiment.space.search_space()
        values = self._experiment.complete(space.to_keras_tuner(hp))
        self._batch_size = int(values["batch_size"])
        self._n_built += 1
        return build(values, self.x.shape[1], int(self.y.max()) + 1, self.epochs * (self._n // self._batch_size))

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """With its own batch size."""
        callbacks = [*kwargs.pop("callbacks", []), EpochLog(str(self._n_built))]
        steps = self._n // self._batch_size
        sizes = {"batch_size": self._batch_size, "steps_per_epoch": steps}
        return model.fit(*args, **sizes, callbacks=callbacks, **kwargs)


def main() -> None:
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("race")
    mlflow.tensorflow.autolog()
    network = Network()
    tuner = keras_tuner.Hyperband(
        network,
        objective="val_loss",
        max_epochs=network.epochs,
        hyperband_iterations=100,
        seed=SEED,
        directory="tuner",
        project_name="race",
    )
    tuner.search(network.x, network.y, validation_data=network.validation, verbose=0)


if __name__ == "__main__":
    main()
