"""What an experiment file may say about its records in MLflow."""

from typing import Literal

from pydantic import Field, field_validator

from core.settings import Settings

KeepModels = Literal["all"] | int
DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql", "mssql")
SERVER_SCHEMES = ("http", "https")


class TrackingSettings(Settings):
    """Where the sweep is recorded, and how much of it."""

    uri: str | None = None
    """Address of the MLflow store: `sqlite:///path/to.db`, another database, or `http(s)://` for a tracking server.
    Left out, it is `mlruns/mlflow.db` in the current folder."""

    artifacts: str | None = None
    """Folder or address for files and models. Left out, it is `artifacts` beside the SQLite file; with any other
    database it must be said, and a tracking server decides by itself."""

    keep_models: KeepModels = Field(default="all", union_mode="left_to_right")
    """`all` completed trials keep their model, or only the best so many; 0 keeps none."""

    @field_validator("uri")
    @classmethod
    def _check_scheme(cls, uri: str | None) -> str | None:
        if uri is None:
            return None
        scheme = uri.split("://", 1)[0].split("+", 1)[0]
        allowed = (*DATABASE_SCHEMES, *SERVER_SCHEMES)
        if "://" not in uri or scheme not in allowed:
            raise ValueError(
                f"a tracking address starts with {', '.join(f'{name}://' for name in allowed[:-1])} or "
                f"{allowed[-1]}://, but got {uri!r}; MLflow no longer keeps its records in plain folders"
            )
        return uri

    @field_validator("keep_models")
    @classmethod
    def _check_keep_models(cls, keep_models: KeepModels) -> KeepModels:
        if keep_models != "all" and keep_models < 0:
            raise ValueError(f"`keep_models` is `all` or a number from 0, but got {keep_models}")
        return keep_models
