"""A logged model to register, with no model in it."""

from pathlib import Path

from search.tracking.store import TrackingStore


def logged_model(store: TrackingStore, tmp_path: Path, finished: bool = True) -> str:
    client = store.client()
    experiment = client.get_experiment_by_name("toy")
    location = str(tmp_path / "artifacts")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("toy", location)
    run = client.create_run(experiment_id)
    model = client.create_logged_model(experiment_id, name="toy-000", source_run_id=run.info.run_id)
    folder = tmp_path / "saved"
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text("flavors: {}\n")
    client.log_model_artifacts(model.model_id, str(folder))
    if finished:
        client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)
