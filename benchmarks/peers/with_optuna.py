"""Optuna with a pruner, and MLflow's autologging, after their documentation."""

from collections.abc import Mapping

import keras
import mlflow
import optuna

from benchmarks.peers.job import SEED, EpochLog, build, data, experiment


class Pruning(keras.callbacks.Callback):
    """Reports each epoch to Optuna, and ends a trial that it prunes."""

    def __init__(self, trial: optuna.Trial) -> None:
        super().__init__()
        self._trial = trial

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Report, and ask."""
        self._trial.report((logs or {})["val_loss"], epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned


def main() -> None:
    chosen = experiment()
    x, y, validation = data()
    n, epochs = chosen.patches.patches_per_epoch or len(x), chosen.training.epochs

    def objective(trial: optuna.Trial) -> float:
        values = chosen.complete(chosen.space.search_space().suggest(trial))
        batch_size = int(values["batch_size"])
        network = build(values, x.shape[1], int(y.max()) + 1, epochs * (n // batch_size))
        with mlflow.start_run(run_name=f"trial {trial.number}"):
            mlflow.log_params(trial.params)
            history = network.fit(
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                steps_per_epoch=n // batch_size,
                validation_data=validation,
                callbacks=[EpochLog(str(trial.number)), Pruning(trial)],
                verbose=0,
            ).history
        return float(min(history["val_loss"]))

    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("race")
    mlflow.tensorflow.autolog()
    study = optuna.create_study(
        study_name="race",
        storage="sqlite:///optuna.db",
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=SEED),
        pruner=optuna.pruners.MedianPruner(),
    )
    study.optimize(objective)


if __name__ == "__main__":
    main()
