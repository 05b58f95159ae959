"""Imports go one way: values <- kernels and I/O <- flow <- jobs <- commands; and nothing knows what stands above it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
VALUES = (
    "commodities", "constants", "errors", "exposition", "fingerprint", "limits", "model", "palette", "settings",
    "stores", "told", "variables",
)  # fmt: skip
KERNELS = ("insar.", "activity.", "sentinel1.burst_id")
READERS = (
    "storage",
    "documents",
    "object_store",
    "sentinel1.",
    "raster",
    "geoid",
    "dem",
    "dem_tiles",
    "zarr_store",
    "cube",
    "inventory",
    "inventory.",
    "mines",
    "records",
    "claims",
)
GRIDS = ("grid",)  # a GeoBox from bounds: takes and returns values
FLOW = (
    "archive", "dem_source", "pairs", "stack", "mine_year", "finish", "series", "pictures", "pictures.",
    "evidence", "assess", "kept", "climate_trace", "sentinel1.search", "tracks", "orbits",
)  # fmt: skip
RUNNER = ("run", "clusters", "plan", "cost")
COMMANDS = ("commands.", "cli", "progress")
SIMULATOR = ("simulate.",)
LAYERS = {
    "values": VALUES,
    "kernels": KERNELS,
    "readers": READERS,
    "grids": GRIDS,
    "flow": FLOW,
    "runner": RUNNER,
    "commands": COMMANDS,
    "simulator": SIMULATOR,
}
MAY_IMPORT = {
    "values": {"values"},
    "kernels": {"values", "kernels"},
    "readers": {"values", "readers"},
    "grids": {"values", "grids"},
    "flow": {"values", "kernels", "readers", "grids", "flow"},
    "runner": {"values", "readers", "flow", "runner"},
    "commands": {"values", "kernels", "readers", "grids", "flow", "runner", "commands", "simulator"},
    "simulator": {"values", "simulator"},
}
# The reader numbers the bursts of old products, whose annotation doesn't: a formula on numbers.
ALLOWED = {("sentinel1.annotation", "sentinel1.burst_id")}


def modules(package: str) -> dict[str, Path]:
    """Name of every module (without the package's own) to its file; a package by the name of its folder."""
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT / package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


def imports(path: Path, package: str, name: str) -> set[str]:
    """Full names of all modules that a file imports, wherever in it, those for type checking alone left out."""
    full = f"{package}.{name}".rstrip(".")
    tree = ast.parse(path.read_text())
    hints = {id(inner) for node in ast.walk(tree) if _is_type_checking(node) for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in hints:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = full.split(".") if path.name == "__init__.py" else full.split(".")[:-1]
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            # `from . import name` may name a module or a value
            found |= {f"{base}.{a.name}" if is_module(f"{base}.{a.name}") else base for a in node.names}
    return found


def _is_type_checking(node) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def is_module(name: str) -> bool:
    """True where a dotted name is a file or folder of ours."""
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def layer(name: str) -> str | None:
    """The layer of a module of `pipeline`; the first pattern that fits, the longest before the others."""
    if name in ("", "insar", "activity", "sentinel1", "commands"):
        return None  # empty packages and the version
    name = "simulate." if name == "simulate" else name
    fitting = [
        (len(p), layer) for layer, patterns in LAYERS.items() for p in patterns if _fits(name, p)
    ]  # "sentinel1.burst_id" before "sentinel1."
    return max(fitting)[1] if fitting else "nowhere"


def _fits(name: str, pattern: str) -> bool:
    return name.startswith(pattern) if pattern.endswith(".") else name == pattern


PIPELINE = modules("pipeline")


def wrong(name: str, imported: set[str]) -> list[str]:
    """Which imports of a module of `pipeline` its layer forbids."""
    own = layer(name)
    inside = sorted(i.removeprefix("pipeline").removeprefix(".") for i in imported if i.split(".")[0] == "pipeline")
    return [
        other
        for other in inside
        if own and layer(other) and layer(other) not in MAY_IMPORT[own] and (name, other) not in ALLOWED
    ]


@pytest.mark.parametrize("name", PIPELINE)
def test_a_module_imports_only_from_its_layer_and_below(name):
    assert layer(name) != "nowhere", f"pipeline.{name} belongs to no layer: add it to one of {', '.join(LAYERS)}"
    assert wrong(name, imports(PIPELINE[name], "pipeline", name)) == []


def test_only_the_commands_know_the_catalog():
    users = {
        name
        for name, path in PIPELINE.items()
        if any(i.split(".")[0] == "catalog" for i in imports(path, "pipeline", name))
    }
    assert users == {"commands.publisher"}


@pytest.mark.parametrize("name", modules("catalog"))
def test_the_catalog_needs_only_cubes_and_values(name):
    known = {i for i in imports(modules("catalog")[name], "catalog", name) if i.split(".")[0] == "pipeline"}
    layers = {layer(i.removeprefix("pipeline").removeprefix(".")) for i in known} - {None}
    assert layers <= {"values", "readers", "kernels"}
    assert {i for i in known if layer(i.removeprefix("pipeline.")) == "kernels"} <= {"pipeline.activity.area"}


def test_nothing_imports_the_tests_and_only_the_command_prints():
    for package in ("pipeline", "catalog"):
        for name, path in modules(package).items():
            assert "tests" not in {i.split(".")[0] for i in imports(path, package, name)}, name
            calls = [n.func.id for n in ast.walk(ast.parse(path.read_text()))
                     if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]  # fmt: skip
            assert "print" not in calls or (package, name) == ("pipeline", "cli"), name


@pytest.mark.parametrize("outside", ["xarray", "dask", "fsspec", "rasterio", "zarr"])
def test_kernels_take_arrays(outside):
    for name, path in PIPELINE.items():
        if layer(name) == "kernels":
            assert outside not in {i.split(".")[0] for i in imports(path, "pipeline", name)}, name


def test_the_rule_can_fail():
    assert wrong("insar.coherence", {"pipeline.storage", "pipeline.model"}) == ["storage"]
    assert wrong("storage", {"pipeline.insar.orbit"}) == ["insar.orbit"]
    assert wrong("simulate.render", {"pipeline.insar.carrier", "pipeline.constants"}) == ["insar.carrier"]
    assert wrong("model", {"pipeline.stack"}) == ["stack"]
    assert wrong("stack", {"pipeline.run", "numpy"}) == ["run"]
    source = ROOT / "pipeline" / "sentinel1" / "annotation.py"
    assert "pipeline.sentinel1.burst_id" in imports(source, "pipeline", "sentinel1.annotation")
    assert layer("sentinel1.burst_id") == "kernels" and layer("sentinel1.safe") == "readers"
    assert layer("somewhere") == "nowhere"
