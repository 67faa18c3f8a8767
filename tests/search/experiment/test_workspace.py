from pathlib import Path

from search.experiment.workspace import Workspace


def test_everything_lies_below_one_folder() -> None:
    workspace = Workspace(Path("project"))
    paths = (workspace.generated, workspace.line_stores, workspace.access_log, workspace.sweep("first"))
    assert all(path.is_relative_to("project") for path in paths)
    assert workspace.sweep("first") == Path("project/mlruns/sweeps/first")
    assert len(set(paths)) == 4
