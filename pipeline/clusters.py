"""The Dask cluster that jobs run on: this machine's cores by default, or what settings name.

    {"kind": "local", "workers": 4, "memory": "4GiB"}          processes of this machine, gone with the run
    {"kind": "local", "minimum": 0, "workers": 4}              the same, as many as there is work for
    {"kind": "address", "address": "tcp://scheduler:8786"}     one that runs already
    {"kind": "slurm", "minimum": 0, "workers": 40, "options": {"queue": "short", "walltime": "02:00:00"}}
    {"kind": "kubernetes", "workers": 40, "spec": "cluster.json", "options": {"namespace": "pitpulse"}}
    {"kind": "gateway", "address": "https://gateway/", "workers": 40, "options": {"image": "…"}}

A worker runs one job at a time; the job's kernels use ``threads`` of its cores. Credentials aren't settings: workers
have them from their own environment.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from multiprocessing import active_children

from dask.distributed import Client, LocalCluster, WorkerPlugin
from dask.utils import parse_bytes
from distributed.system import MEMORY_LIMIT

from .cube import SOFTWARE
from .errors import BadInput, Unavailable
from .storage import open_store, public_url
from .stores import VARIABLE as STORES

JOBQUEUE = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "htcondor": "HTCondorCluster",
    "oar": "OARCluster",
}
KINDS = ("local", "address", "kubernetes", "gateway", *JOBQUEUE)
CONNECT = 10.0  # s for a scheduler to answer
START = 120.0  # s for this machine's own workers to start
THREADS = "PITPULSE_THREADS"
# Dask's sampling profiler can lock up a worker of CPython 3.11, and nobody reads it here
QUIET = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}


@dataclass(frozen=True)
class ClusterSettings:
    """Where jobs run.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    address : str
        URL of a scheduler that runs already, or of a gateway.
    workers : int, optional
        Worker processes at most; by default what suits this machine's cores and the number of jobs.
    minimum : int, optional
        Where given, workers come and go with the work, between this and ``workers``.
    memory : str, optional
        Of each worker, such as ``"4GiB"``: one that needs more is ended, and its job is tried again. By default the
        machine's memory is shared out.
    threads : int, optional
        For the kernels of one job; by default a local worker's share of the cores, elsewhere all its machine's.
    spec : str
        URL of a DaskCluster manifest, as JSON (kind kubernetes).
    options : mapping
        Further words for the class of dask-jobqueue, dask-kubernetes or dask-gateway.
    """

    kind: str = "local"
    address: str = ""
    workers: int | None = None
    minimum: int | None = None
    memory: str | None = None
    threads: int | None = None
    spec: str = ""
    options: Mapping = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"cluster: kind must be one of {', '.join(KINDS)}, instead got {self.kind!r}")
        for name, least in (("workers", 1), ("minimum", 0), ("threads", 1)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise BadInput(f"cluster: {name} must be a whole number from {least} on, instead got {value!r}")
        for name, kinds in (("address", ("address", "gateway")), ("spec", ("kubernetes",))):
            value = getattr(self, name)
            if not isinstance(value, str) or bool(value) != (self.kind in kinds):
                found = repr(public_url(value)) if isinstance(value, str) and value else "nothing"
                needed = "needs the key" if self.kind in kinds else "has no key"
                raise BadInput(f"cluster: kind {self.kind} {needed} {name}, instead got {found}")
        if self.minimum is not None and self.minimum > (self.workers or 0):
            raise BadInput(
                f"cluster: minimum {self.minimum} needs workers of at least that, instead got {self.workers}"
            )
        try:
            parse_bytes(self.memory or 0)
        except (ValueError, AttributeError, TypeError):
            raise BadInput(f"cluster: memory must be a size such as '4GiB', instead got {self.memory!r}") from None
        if not isinstance(self.options, Mapping):
            raise BadInput(f"cluster: options must be an object of names and values, instead got {self.options!r}")


def read_cluster(values) -> ClusterSettings:
    """Settings from what a JSON object holds, or from the text of an address.

    Raises
    ------
    BadInput
        It is something else, or names a key that there isn't.
    """
    if isinstance(values, str):
        return ClusterSettings("address", values)
    if not isinstance(values, Mapping):
        raise BadInput(f"cluster must be an address or an object with the key kind, instead got {values!r}")
    known = [f.name for f in fields(ClusterSettings)]
    strange = sorted(set(values) - set(known))
    if strange:
        raise BadInput(f"cluster must have keys of {', '.join(known)}, instead got {strange[0]!r}")
    return ClusterSettings(**values)


@contextmanager
def open_client(
    settings: ClusterSettings | None = None, jobs: int = 1, say: Callable[[str], None] = lambda _: None
) -> Iterator[Client]:
    """A client of the cluster that settings name; what was started for it ends with it.

    Parameters
    ----------
    settings : ClusterSettings, optional
        By default the scheduler at ``DASK_SCHEDULER_ADDRESS``, or else this machine.
    jobs : int
        How many there are to run.
    say : callable
        Called with a line of text: where the dashboard is, and what isn't as it should be.

    Raises
    ------
    BadInput
        A library is missing, or a worker has another version of this software.
    Unavailable
        No scheduler answers.
    """
    if settings is None:
        address = os.environ.get("DASK_SCHEDULER_ADDRESS")
        settings = ClusterSettings("address", address) if address else ClusterSettings()
    with ExitStack() as stack:
        if settings.kind == "local":
            client = stack.enter_context(_local(settings, jobs))
        elif settings.kind == "address":
            client = stack.enter_context(_connect(settings.address))
        else:
            client = stack.enter_context(_started(settings, jobs))
        if settings.kind != "local":
            _set_up(client, settings)
            for line in _remarks(client):
                say(line)
        if settings.kind != "local" or find_spec("bokeh"):
            say(f"Dask dashboard: {client.dashboard_link}")
        yield client


def worker_count(cores: int, jobs: int) -> int:
    """Worker processes of a local cluster; the cores are shared out to them as threads of the kernels.

    Of all counts the one whose rounds of jobs end first, where 30 % of a year's time stay however many threads it has
    (measured on the demo's: 2.4 s with one thread, 1.6 s with two); the smaller where two are equal.
    """
    return min(range(1, max(1, min(cores, jobs)) + 1), key=lambda n: -(-jobs // n) * (0.3 + 0.7 / max(1, cores // n)))


@contextmanager
def _local(settings: ClusterSettings, jobs: int) -> Iterator[Client]:
    """Worker processes of this machine."""
    cores = len(os.sched_getaffinity(0))
    workers = settings.workers or worker_count(cores, jobs)
    threads = settings.threads or max(1, cores // workers)
    with ExitStack() as stack:
        with interrupts_held():
            cluster = LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any free port: None would insist on 8787, on every interface
                env={THREADS: str(threads), **QUIET},
                # Dask's own share is that of one thread among all the machine's cores
                memory_limit=settings.memory or MEMORY_LIMIT // workers,
                silence_logs=logging.CRITICAL + 1,  # a client that was interrupted is "critical" to its scheduler
            )
            client = Client(cluster)
            stack.callback(_close, client, cluster)
            if settings.minimum is None:
                _start_workers(cluster, workers)
                client.wait_for_workers(workers, timeout=START)
            else:
                cluster.adapt(minimum=settings.minimum, maximum=workers, interval="500ms")
        yield client


def _start_workers(cluster: LocalCluster, number: int) -> None:
    """Start worker processes that an interrupt doesn't reach.

    A key press interrupts every process of the terminal, and each worker would say so at length; they end with the
    cluster. Only an ignored signal stays so in a child, so for some hundredths of a second a press is lost.
    """
    ours, others = threading.current_thread() is threading.main_thread(), len(active_children())
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if ours else None
    try:
        cluster.scale(number)
        patience = time.monotonic() + 5.0
        while len(active_children()) < others + number and time.monotonic() < patience:
            time.sleep(0.005)
    finally:
        if ours:
            signal.signal(signal.SIGINT, before)


def _close(client: Client, cluster: LocalCluster) -> None:
    with interrupts_held():
        client.close()
        cluster.close()


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Let an interrupt wait until the block is done: a cluster that is half started or half closed can't be closed."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) != signal.default_int_handler:
        yield
        return
    waiting = []
    signal.signal(signal.SIGINT, lambda *_: waiting.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if waiting:
        raise KeyboardInterrupt


@contextmanager
def _connect(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=CONNECT)
    except (OSError, ValueError) as error:
        why = error.__class__.__name__ if "@" in address else error  # the message repeats the address
        raise Unavailable(
            f"no Dask scheduler answers at {public_url(address)} ({why}); check the address, or leave it and "
            f"DASK_SCHEDULER_ADDRESS out for a local cluster"
        ) from error
    with client:
        yield client


@contextmanager
def _started(settings: ClusterSettings, jobs: int) -> Iterator[Client]:
    """Workers of a batch system, of Kubernetes or of a gateway, started for this run."""
    workers = settings.workers or max(1, jobs)
    with _cluster(settings) as cluster:
        if settings.minimum is None:
            cluster.scale(workers)
        else:
            cluster.adapt(minimum=settings.minimum, maximum=workers)
        with cluster.get_client() as client:
            yield client


def _cluster(settings: ClusterSettings):
    """The cluster's object of its own library, which is imported only where it is asked for."""
    options = dict(settings.options)
    if settings.kind in JOBQUEUE:
        library = _library("dask_jobqueue", "slurm")
        # one job at a time has all the cores that a batch job is given
        words = {"cores": 1, "processes": 1, "memory": settings.memory or "4GiB"}
        prologue = [f"export {name}='{value}'" for name, value in QUIET.items()]
        options["job_script_prologue"] = [*prologue, *options.get("job_script_prologue", [])]
        if settings.threads and settings.kind == "slurm":
            words["job_cpu"] = settings.threads
        make, words = getattr(library, JOBQUEUE[settings.kind]), {**words, **options}
    elif settings.kind == "kubernetes":
        library = _library("dask_kubernetes.operator", "kubernetes")
        make, words = library.KubeCluster, {"custom_cluster_spec": _read_spec(settings.spec), **options}
    else:
        library = _library("dask_gateway", "gateway")
        make, words = library.GatewayCluster, {"address": settings.address, **options}
    try:
        return make(**words)
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        raise BadInput(f"cluster: {settings.kind} can't be started with these settings: {error}") from error


def _library(name: str, extra: str):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInput(f"cluster: {name} is not installed ({error}); install pitpulse[{extra}]") from error


def _read_spec(url: str) -> dict:
    try:
        spec = json.loads(open_store(url).read_bytes())
    except ValueError as error:
        raise BadInput(f"{url}: expected a DaskCluster manifest as JSON ({error})") from error
    if not isinstance(spec, dict) or spec.get("kind") != "DaskCluster":
        raise BadInput(f"{url}: expected a manifest of kind DaskCluster, found something else")
    return spec


class WorkerSetup(WorkerPlugin):
    """What a worker that wasn't started here has to know: how stores are reached, and how many threads a job has."""

    name = "pitpulse"

    def __init__(self, environment: Mapping[str, str], software: str):
        self.environment, self.software = dict(environment), software

    def setup(self, worker) -> None:
        """Called by Dask on each worker, also on those that come later; what it raises is told to the client."""
        if self.software != SOFTWARE:
            raise BadInput(
                f"the worker {worker.address} has {SOFTWARE}, and this command is {self.software}: their products "
                f"would differ; install the same on both"
            )
        os.environ.update(self.environment)


def _set_up(client: Client, settings: ClusterSettings) -> None:
    environment = {STORES: os.environ[STORES]} if STORES in os.environ else {}
    if settings.threads:
        environment[THREADS] = str(settings.threads)
    client.register_plugin(WorkerSetup(environment, SOFTWARE))


def _remarks(client: Client) -> list[str]:
    """What a person should know of the workers of a cluster that isn't ours."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        return ["the scheduler has no workers yet: the run waits for the first"]
    several = [name for name, facts in workers.items() if facts["nthreads"] > 1]
    if several:
        return [
            f"{len(several)} of {len(workers)} workers run several jobs at once, and need memory for each: "
            f"start them with --nthreads 1"
        ]
    return []
