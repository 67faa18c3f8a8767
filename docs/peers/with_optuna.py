"""Optuna, with callbacks: one records to MLflow, one ends the search."""

import mlflow
import optuna
from job import build, data


def objective(trial):
    x, y, validation = data()
    network = build(trial.suggest_int("units", 8, 64, log=True), trial.suggest_float("rate", 1e-4, 1e-1, log=True))
    for epoch in range(3):
        history = network.fit(x, y, validation_data=validation, verbose=0).history
        trial.report(history["val_loss"][0], epoch)
        trial.set_user_attr(f"val_accuracy_{epoch}", history["val_accuracy"][0])
        if trial.should_prune():
            raise optuna.TrialPruned
    return history["val_loss"][0]


def record(study, trial):
    with mlflow.start_run(run_name=f"trial {trial.number}"):
        mlflow.log_params(trial.params)
        mlflow.set_tag("state", trial.state.name)
        for epoch, loss in trial.intermediate_values.items():
            mlflow.log_metric("val_loss", loss, epoch)
            mlflow.log_metric("val_accuracy", trial.user_attrs[f"val_accuracy_{epoch}"], epoch)


mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_experiment("digits")
study = optuna.create_study(
    study_name="digits",
    storage="sqlite:///optuna.db",
    load_if_exists=True,
    sampler=optuna.samplers.TPESampler(),
    pruner=optuna.pruners.MedianPruner(),
)
finished = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)
study.optimize(objective, callbacks=[record, optuna.study.MaxTrialsCallback(5, states=finished)])
print(study.best_params, study.best_value)
