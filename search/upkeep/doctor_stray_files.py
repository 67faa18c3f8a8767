"""Old records that make MLflow's own commands look elsewhere."""

from collections.abc import Iterator

from search.upkeep.machine_checks import Finding, Level, Subject

_META = "meta.yaml"


def check_stray_files(subject: Subject) -> Iterator[Finding]:
    """Look for `mlruns/<digits>/meta.yaml`, at whose sight MLflow takes plain files for its default store."""
    folder = subject.workspace.root / "mlruns"
    strays = sorted(
        path.name for path in folder.glob("*") if path.name.isdigit() and path.is_dir() and (path / _META).exists()
    )
    if strays:
        text = (
            f"{', '.join(f'mlruns/{name}' for name in strays)} of an old MLflow: its own commands take plain files "
            "for their store in this folder, and show none of whosehand's runs"
        )
        yield Finding(Level.PROBLEM, "stray files", text, f"mkdir old-mlruns && mv mlruns/{strays[0]} old-mlruns/")
