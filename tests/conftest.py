"""Fixtures that several layers' tests share."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import settings

from .runs import command
from .seaweed import Seaweed, forget_clients
from .tiny_scene import TinyScene, make_tiny_scene

# the first example of a kernel compiles it, so examples have no deadline; the same examples every time
settings.register_profile("default", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("default")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real reference data beside the project; tests that need it skip where it is absent."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real reference data not found at {folder}")
    return folder


@pytest.fixture(scope="session")
def tiny_scene(tmp_path_factory) -> TinyScene:
    """A small simulated mine on disk; tests only read it."""
    return make_tiny_scene(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def undisturbed(tiny_scene, tmp_path_factory) -> Path:
    """The root of a whole run over the tiny scene that nothing disturbed; tests only read it."""
    root = tmp_path_factory.mktemp("undisturbed") / "whole"
    subprocess.run(command(tiny_scene.run(root, *tiny_scene.settings())), check=True, capture_output=True)
    return root


@pytest.fixture(scope="session")
def object_store(tmp_path_factory):
    """A real S3 server of its own process on loopback, with one bucket."""
    server = Seaweed(tmp_path_factory.mktemp("seaweed") / "data")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def s3(object_store, monkeypatch):
    """The same, with its credentials and endpoint in the environment."""
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    forget_clients()
    yield object_store
    forget_clients()
