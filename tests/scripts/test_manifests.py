"""The cluster files are valid by the rules of those who read them, and their commands exist."""

from __future__ import annotations

import copy
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import typer
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from omasgan import cli
from tests.scripts.shell import ROOT, SCRIPTS

CLUSTER = SCRIPTS / "cluster"
BATCH = CLUSTER / "sweep.sbatch"

TEMPLATE = {"type": "object", "required": ["spec"]}
"""A pod's; Kubernetes' own schema has it."""

PARAMS = {"type": "object", "additionalProperties": {"type": "string"}}

GROUP = {"rayStartParams": PARAMS, "template": TEMPLATE}

COUNT = {"type": "integer", "minimum": 0}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """An object of these properties and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


# After the types RayJobSpec and RayClusterSpec of KubeRay's API reference, ray.io/v1.
RAY_JOB = closed(
    ["apiVersion", "kind", "metadata", "spec"],
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=closed(["name"], name={"type": "string", "pattern": "^[a-z0-9-]{1,47}$"}),
    spec=closed(
        ["entrypoint", "rayClusterSpec"],
        entrypoint={"type": "string"},
        backoffLimit=COUNT,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=COUNT,
        rayClusterSpec=closed(
            ["rayVersion", "headGroupSpec", "workerGroupSpecs"],
            rayVersion={"type": "string"},
            authOptions=closed(["mode"], mode={"enum": ["token", "disabled"]}),
            enableInTreeAutoscaling={"type": "boolean"},
            autoscalerOptions=closed([], idleTimeoutSeconds=COUNT),
            headGroupSpec=closed(["rayStartParams", "template"], **GROUP),
            workerGroupSpecs={
                "type": "array",
                "items": closed(
                    ["groupName", "minReplicas", "maxReplicas", *GROUP],
                    groupName={"type": "string"},
                    replicas=COUNT,
                    minReplicas=COUNT,
                    maxReplicas=COUNT,
                    **GROUP,
                ),
            },
        ),
    ),
)


def check_launcher(config: dict[str, Any]) -> None:
    validate_config(prepare_config(copy.deepcopy(config)))


def check_ray_job(job: dict[str, Any]) -> None:
    jsonschema.validate(job, RAY_JOB)
    for template in templates(job):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, **template}
        kubernetes_validate.validate(pod, "1.30", strict=True)


def templates(job: dict[str, Any]) -> list[dict[str, Any]]:
    spec = job["spec"]["rayClusterSpec"]
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    return [group["template"] for group in groups]


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CLUSTER / name).read_text())
    return loaded


def test_the_launcher_takes_the_cluster() -> None:
    config = load("aws.yaml")
    check_launcher(config)
    assert config["available_node_types"][config["head_node_type"]]["resources"] == {"CPU": 0}
    assert config["available_node_types"]["gpu"]["min_workers"] == 0


def test_kubernetes_takes_the_job() -> None:
    job = load("rayjob.yaml")
    check_ray_job(job)
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    (worker,) = group["template"]["spec"]["containers"]
    assert worker["resources"]["limits"]["nvidia.com/gpu"] == "1"


def misspell_launcher(config: dict[str, Any]) -> None:
    config["max_worker"] = 3


def misspell_node(config: dict[str, Any]) -> None:
    del config["available_node_types"]["gpu"]["node_config"]


def misspell_job(job: dict[str, Any]) -> None:
    job["spec"]["entryPoint"] = "omasgan"


def misspell_container(job: dict[str, Any]) -> None:
    templates(job)[1]["spec"]["containers"][0]["resource"] = {}


@pytest.mark.parametrize(
    ("name", "check", "spoil", "said"),
    [
        ("aws.yaml", check_launcher, misspell_launcher, "'max_worker' was unexpected"),
        ("aws.yaml", check_launcher, misspell_node, "'node_config' is a required"),
        ("rayjob.yaml", check_ray_job, misspell_job, "'entryPoint' was unexpected"),
        ("rayjob.yaml", check_ray_job, misspell_container, "'resource' was unexpected"),
    ],
)
def test_a_wrong_file_would_be_noticed(
    name: str, check: Callable[[Any], None], spoil: Callable[[Any], None], said: str
) -> None:
    spoiled = load(name)
    spoil(spoiled)
    with pytest.raises(Exception, match=said):
        check(spoiled)


def test_secrets_come_from_kubernetes_secrets() -> None:
    for template in templates(load("rayjob.yaml")):
        for container in template["spec"]["containers"]:
            for variable in container["env"]:
                if re.search("KEY|SECRET|TOKEN|URI|STORAGE", variable["name"]):
                    assert set(variable["valueFrom"]) == {"secretKeyRef"}


def test_all_files_mean_the_same_ray() -> None:
    (image,) = re.findall(r"^ARG RAY=(.*)$", (CLUSTER / "Dockerfile").read_text(), re.MULTILINE)
    assert load("rayjob.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == image


def test_the_batch_script_is_sound() -> None:
    subprocess.run(["bash", "-n", BATCH], check=True)
    options = re.findall(r"^#SBATCH (--[a-z-]+)=\S+$|^#SBATCH (--requeue)$", text(BATCH), re.M)
    assert len(options) == text(BATCH).count("\n#SBATCH ")
    # Slurm reads no option below the first command.
    assert text(BATCH).rindex("\n#SBATCH ") < text(BATCH).index("\nset -euo pipefail")
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", BATCH], check=True)


def text(path: Path) -> str:
    return path.read_text()


def commands(path: Path) -> list[list[str]]:
    """The arguments of each call on a benchmark in a text, on however many lines it stands."""
    joined = re.sub(r"\\\n[ #]*", " ", text(path))
    if path.suffix == ".yaml":
        joined = str(load(path.name)["spec"]["entrypoint"])
    rest = r"(\w+-loo [^'\"`\n]*)"
    called = re.findall(rf"omasgan (sweep|compare|run|plan) {rest}", joined)
    called += [("sweep", arguments) for arguments in re.findall(rf"sweep\.sbatch {rest}", joined)]
    return [[verb, *shlex.split(arguments, comments=True)] for verb, arguments in called]


@pytest.mark.parametrize(
    "path", [ROOT / "docs/cluster.md", CLUSTER / "rayjob.yaml", BATCH], ids=lambda path: path.name
)
def test_every_command_that_is_shown_exists(path: Path) -> None:
    verbs = typer.main.get_command(cli._app()).commands  # type: ignore[attr-defined]
    shown = commands(path)
    assert shown
    for verb, *arguments in shown:
        verbs[verb].make_context(verb, arguments, resilient_parsing=False)
