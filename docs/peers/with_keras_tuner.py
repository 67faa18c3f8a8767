"""KerasTuner, with MLflow's autologging."""

import keras_tuner
import mlflow
from job import build, data


def build_model(hp):
    return build(hp.Int("units", 8, 64, sampling="log"), hp.Float("rate", 1e-4, 1e-1, sampling="log"))


mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("digits")
mlflow.tensorflow.autolog()
x, y, validation = data()
tuner = keras_tuner.BayesianOptimization(
    build_model, objective="val_loss", max_trials=5, directory="tuner", project_name="digits"
)
tuner.search(x, y, epochs=3, validation_data=validation, verbose=0)
best = tuner.oracle.get_best_trials()[0]
print(best.hyperparameters.values, best.score)
