"""whosehand: a sweep of an objective of your own."""

from job import build, data

import whosehand as wh


def run(trial):
    x, y, validation = data()
    network = build(trial.params["units"], trial.params["rate"])
    for _ in range(trial.n_epochs):
        history = network.fit(x, y, validation_data=validation, verbose=0).history
        scores = {f"val/{name}": history[f"val_{name}"][0] for name in ("loss", "accuracy")}
        trial.report(scores)
    return scores


experiment = wh.Experiment(
    name="digits",
    objective=wh.Objective(run=run),
    space=wh.Space(dimensions=[wh.Integer("units", 8, 64, log=True), wh.Real("rate", 1e-4, 1e-1, log=True)]),
    training=wh.Training(epochs=3),
    executor=wh.Executor(workers=1),
    budget=wh.Budget(trials=5),
)
sweep = wh.sweep(experiment)
print(sweep.best_params, sweep.best_value)
