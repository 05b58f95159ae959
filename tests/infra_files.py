"""The files of `infra/`, read with the tools that operators use on them; and what of them can run here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parents[1]
INFRA = ROOT / "infra"
MADE_UP = {
    "AWS_ACCESS_KEY_ID": "made-up-key",
    "AWS_SECRET_ACCESS_KEY": "made-up-secret",
    "PITPULSE_STORE": "/srv/store",
}
DASK = "kubernetes.dask.org/v1"


def tool(name: str) -> str:
    """Path of a program that a wheel of the test extra has brought; not one that the machine happens to have."""
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    assert found, f"the test extra is incomplete: {name} isn't beside {sys.executable}"
    return found


def output(words: Sequence[str | Path], **more) -> str:
    """What a program prints, where it ends well."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{shlex.join(map(str, words))}\n{done.stdout}{done.stderr}"
    return done.stdout


@cache
def compose_services() -> dict[str, dict]:
    """Services of the compose file as docker-compose resolves them, with credentials that are made up."""
    words = [tool("docker-compose"), "-f", INFRA / "compose.yaml", "--profile", "refresh", "config", "--format", "json"]
    return json.loads(output(words, env={"PATH": os.environ["PATH"], **MADE_UP}))["services"]


@cache
def manifests() -> tuple[dict, ...]:
    """Every document that `kubectl kustomize` makes."""
    text = output([tool("kubectl"), "kustomize", INFRA / "kubernetes"])
    return tuple(yaml.load_all(text, Loader=yaml.CSafeLoader))


def manifest(kind: str, name: str = "") -> dict:
    """The one document of a kind (and name)."""
    (found,) = [d for d in manifests() if d["kind"] == kind and name in ("", d["metadata"]["name"])]
    return found


def pods() -> Iterator[tuple[str, dict, dict]]:
    """Name, labels and spec of every pod that the documents lead to; of Dask's kinds as its operator makes them.

    Its operator gives each pod the cluster's labels and two of its own, and workers their name and the scheduler's
    address (dask-kubernetes 2026.3, `operator/controller/controller.py`).
    """
    for document in manifests():
        kind, spec = document["kind"], document.get("spec", {})
        if kind == "Deployment":
            yield document["metadata"]["name"], spec["template"]["metadata"]["labels"], spec["template"]["spec"]
        elif kind == "CronJob":
            template = spec["jobTemplate"]["spec"]["template"]
            yield document["metadata"]["name"], template["metadata"]["labels"], template["spec"]
        elif kind == "DaskCluster":
            for part in ("scheduler", "worker"):
                own = {"dask.org/cluster-name": document["metadata"]["name"], "dask.org/component": part}
                yield part, document["metadata"]["labels"] | own, spec[part]["spec"]


def words_of(container: Mapping, entry: Sequence[str]) -> list[str]:
    """The command line of a container, of Kubernetes or compose, in an image with this entry point."""
    if "name" in container:
        return [*container.get("command", entry), *container.get("args", ())]
    return [*(container["entrypoint"] or entry), *container["command"]]


def entry_point() -> list[str]:
    """Of the image."""
    return json.loads(instructions()[-1].removeprefix("ENTRYPOINT "))


def instructions() -> list[str]:
    """Lines of the image's last stage, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", (INFRA / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line]
    last = max(k for k, line in enumerate(lines) if line.startswith("FROM "))
    return lines[last:]


def image_environment() -> dict[str, str]:
    """What the image sets."""
    (line,) = [line for line in instructions() if line.startswith("ENV ")]
    return dict(word.split("=", 1) for word in shlex.split(line.removeprefix("ENV ")))


@cache
def crd_schema(kind: str) -> dict:
    """Schema of one of Dask's kinds from the operator's own chart, made strict: unknown fields are wrong."""
    place = Path(find_spec("dask_kubernetes").origin).parent / "operator/deployment/helm/dask-kubernetes-operator/crds"
    document = yaml.load((place / f"{kind.lower()}.yaml").read_text(), Loader=yaml.CSafeLoader)
    (version,) = [v for v in document["spec"]["versions"] if v["served"]]
    assert f"{document['spec']['group']}/{version['name']}" == DASK
    schema = _closed(version["schema"]["openAPIV3Schema"])
    schema["properties"] |= {"apiVersion": {"const": DASK}, "kind": {"const": kind}, "metadata": {"type": "object"}}
    return schema


def _closed(schema: dict) -> dict:
    """A schema in which objects have the named properties alone, where properties are named."""
    out = {}
    for name, value in schema.items():
        if name == "properties":
            out[name] = {field: _closed(inner) for field, inner in value.items()}
        else:
            out[name] = _closed(value) if name in ("items", "additionalProperties") and value else value
    if "properties" in out and "additionalProperties" not in out:
        out["additionalProperties"] = False
    return out


def crd_errors(document: Mapping) -> list[str]:
    """What is wrong with a document of one of Dask's kinds."""
    checker = jsonschema.Draft202012Validator(crd_schema(document["kind"]))
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in checker.iter_errors(document)]
