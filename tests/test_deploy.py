"""What `deploy/` starts: nobody as root, no secret in a file, nothing open to the world, and names
that exist.
"""

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN")


def test_every_secret_comes_from_the_environment_and_must_be_set() -> None:
    given = {
        name: value
        for service in COMPOSE["services"].values()
        for name, value in service["environment"].items()
        if SECRET.search(name)
    }
    assert len(given) >= 4
    assert [name for name, value in given.items() if not re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)] == []
    settings = configparser.ConfigParser()
    settings.read(DEPLOY / "basic_auth.ini")
    assert "admin_password" not in settings["mlflow"]
    assert re.fullmatch(r"postgresql://\w+@\w+/\w+", settings["mlflow"]["database_uri"])


@pytest.mark.parametrize("stage", ["records", "node"])
def test_an_image_runs_as_a_user_with_a_number(stage: str) -> None:
    users = re.findall(r"^USER (\S+)", STAGES[stage], re.MULTILINE)
    assert users
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


def test_what_is_copied_into_an_image_is_there_and_not_ignored() -> None:
    kept = set((DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines())
    sources = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    names = [name for line in sources for name in line.split()]
    assert "constraints.txt" in names
    assert [name for name in names if not (ROOT / name).exists() or f"!{name}" not in kept] == []


def test_images_take_versions_from_the_constraints() -> None:
    installs = re.findall(r"pip install [^&\n]*", DOCKERFILE)
    assert len(installs) == 2
    assert all("--constraint" in install and "constraints.txt" in install for install in installs)
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for pattern, text in ((r"^tensorflow==", pins), (r'"tensorflow>=', (ROOT / "pyproject.toml").read_text("utf-8"))):
        assert re.search(pattern, text, re.MULTILINE), "what the Dockerfile replaces by the wheel for processors"
    for name in ("mlflow", "psycopg", "psycopg-binary", "Flask-WTF"):
        assert f"\n{name}==" in pins


def test_the_services_name_what_there_is_and_listen_at_this_machine_alone() -> None:
    services, server = COMPOSE["services"], COMPOSE["services"]["server"]
    assert server["build"]["target"] in STAGES
    assert (DEPLOY / server["build"]["context"]).resolve() == ROOT
    assert (ROOT / server["build"]["dockerfile"]).is_file()
    assert set(server["depends_on"]) <= set(services)
    assert "ports" not in services["database"]
    assert all(port.startswith("${LISTEN:-127.0.0.1}:") for port in server["ports"])
    assert {name for each in services.values() for name in each["networks"]} == set(COMPOSE["networks"])
    assert COMPOSE["networks"]["inside"]["internal"] is True
    mounted = {volume.split(":")[0] for each in services.values() for volume in each["volumes"]}
    assert mounted == set(COMPOSE["volumes"])


def test_pods_of_the_example_for_kuberay_run_as_the_image_does_with_a_token_and_probes_that_ray_answers() -> None:
    text = (ROOT / "docs" / "cluster" / "kuberay.yaml").read_text(encoding="utf-8")
    cluster = next(iter(yaml.safe_load_all(text)))["spec"]
    (user,) = re.findall(r"^USER (\d+):\d+$", STAGES["node"], re.MULTILINE)
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsUser"] == int(user)
        (container,) = pod["containers"]
        told = {each["name"]: each.get("value") for each in container["env"]}
        assert told["RAY_AUTH_MODE"] == "token"
        assert told["RAY_AUTH_TOKEN"] is None, "it comes from a secret"
        assert told["RAY_USAGE_STATS_ENABLED"] == told["RAY_memory_monitor_refresh_ms"] == "0"
        port = int(group["rayStartParams"]["node-manager-port"])
        assert container["livenessProbe"]["tcpSocket"]["port"] == port
        assert container["readinessProbe"]["tcpSocket"]["port"] in (port, 6379)
