"""MLflow servers that run on this project's store."""

import time
from collections.abc import Iterator

import psutil

from search.ledger.ranking import readable_duration
from search.upkeep.machine_checks import Finding, Level, Subject
from search.upkeep.moved_projects import database_of

OLD_S = 86_400.0


def check_servers(subject: Subject) -> Iterator[Finding]:
    """Look for `mlflow server` processes on the store: one that was left over holds memory and a port."""
    database = database_of(subject.store)
    if database is None:
        return
    for process in psutil.process_iter(["pid", "ppid", "cmdline", "create_time"]):
        command = process.info["cmdline"] or []
        is_server = "mlflow" in command and "server" in command
        if is_server and any(str(database) in part for part in command):
            age_s = time.time() - process.info["create_time"]
            text = f"an MLflow server runs on this store (process {process.info['pid']}, {readable_duration(age_s)})"
            if age_s > OLD_S:
                yield Finding(Level.NOTE, "servers", text, f"if nobody looks at it: kill {process.info['pid']}")
            else:
                yield Finding(Level.OK, "servers", text)
