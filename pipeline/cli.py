"""The command ``pitpulse``: arguments in, plain text or JSON out. The only module that prints.

Everything heavy is imported when a subcommand needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from . import __version__
from .errors import BadInput, PitpulseError
from .progress import JsonProgress, Progress, json_line, wants_json

EXAMPLES = """\
examples:
  pitpulse demo                                          a simulated mine, three years, everything under build/demo
  pitpulse info S1A_IW_SLC__….SAFE --point 50.89,6.57    which bursts see a point, and where
  pitpulse coherence REF.SAFE SEC.SAFE --dem dem.tif --bbox 6.4,50.8,6.7,51.0 --out pair.zarr
  pitpulse run --archive slc/ --mine mine.geojson --dem dem.tif --years 2021-2023 --out products/
  pitpulse plan --config refresh.json                    what a refresh would do and why
  pitpulse pictures products/catalog/mine-activity/sishen-*.json --out pictures/
  pitpulse inventory import GIOMT.xlsx mining_polygons.gpkg --out mines.parquet
  pitpulse serve products/
  pitpulse emissions --root products/ --inventory mines.parquet --created 2026-11-21 --out tables/
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 good, 1 some product is missing, 2 bad input, 130 interrupted."""
    parser = _parser()
    arguments = parser.parse_args(_joined(sys.argv[1:] if argv is None else argv))
    if not hasattr(arguments, "action"):
        parser.print_help()
        return 0
    try:
        return arguments.action(arguments)
    except PitpulseError as error:
        _complain(arguments, str(error))
        return 2
    except KeyboardInterrupt:
        _complain(arguments, "interrupted; nothing half-written is visible, the same command goes on")
        return 130
    except BrokenPipeError:  # the reader of our output went away: its right
        sys.stderr.close()
        return 0


def _complain(arguments, text: str) -> None:
    """Say on stderr why the command ends."""
    try:
        as_json = wants_json(getattr(arguments, "log_json", False))
    except BadInput:  # said in words: it is what the text is about
        as_json = False
    print(json_line(text, "error") if as_json else f"pitpulse: {text}", file=sys.stderr)


def _progress(arguments) -> Progress:
    """Lines for a person, or for a machine where it is asked for."""
    return JsonProgress() if wants_json(arguments.log_json) else Progress()


def _joined(argv: Sequence[str]) -> list[str]:
    """``--point -27.7,23`` as ``--point=-27.7,23``: argparse would take a southern latitude for an option."""
    out: list[str] = []
    for word in argv:
        if out and out[-1] in ("--point", "--bbox") and word[:1] == "-" and word[1:2].isdigit():
            out[-1] += f"={word}"
        else:
            out.append(word)
    return out


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pitpulse",
        description="Where, when and how much an open-pit mine was active, from Sentinel-1 coherence.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pitpulse {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands)
    _add_simulate(commands)
    _add_run(commands)
    _add_pictures(commands)
    _add_inventory(commands)
    _add_emissions(commands)
    _add_catalog(commands)
    _add_verify(commands)
    _add_status(commands)
    _add_cost(commands)
    _add_serve(commands)
    _add_info(commands)
    _add_coherence(commands)
    return parser


def _command(commands, name: str, action, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(action=action)
    return parser


def _add_demo(commands) -> None:
    p = _command(
        commands, "demo", _demo, "simulate one mine over three years, run the main job on it, compare with truth"
    )
    p.add_argument("--out", default="build/demo", help="folder for everything (default: build/demo)")
    p.add_argument("--scheduler", help="address of a Dask scheduler (default: a local cluster)")


def _add_simulate(commands) -> None:
    p = _command(commands, "simulate", _simulate, "write Sentinel-1 SAFE products with known truth: the demo mine's")
    p.add_argument("out", help="folder for slc/*.SAFE, dem.tif, mine.geojson, sites.geojson and truth.json")
    p.add_argument("--dates", type=int, default=14, help="dates a year, 12 days apart (default: 14)")
    p.add_argument("--swath", choices=("IW1", "IW2", "IW3"), default="IW2")
    p.add_argument("--orbit-pass", choices=("ascending", "descending"), default="descending")
    p.add_argument("--seed", type=int, default=2021)
    p.add_argument("--overwrite", action="store_true", help="replace an earlier scene in the folder")


def _add_run(commands) -> None:
    p = _command(commands, "run", _run, "products of mines: coherence, NDAI, classes, areas, STAC items")
    _add_run_words(p)
    p = _command(commands, "plan", _plan, "what run or refresh would do and why, and what it would cost")
    _add_run_words(p)
    p.add_argument("--json", action="store_true", help="print JSON")
    p = _command(commands, "refresh", _refresh, "run for a schedule: only what is new, told briefly")
    _add_run_words(p)
    p = _command(commands, "redrive", _redrive, "run again the mines of which a year failed or gave no product")
    _add_run_words(p)


def _add_run_words(p) -> None:
    p.add_argument("--config", metavar="JSON", help="file with these options by name, and settings as an object")
    p.add_argument("--archive", help="folder or URL that holds SAFE folders or zips")
    p.add_argument(
        "--mine",
        metavar="FILE_OR_ID",
        help="GeoJSON of one or several mines' polygons (properties id, name, country, commodity), an inventory "
        "(.parquet), or the id of a built-in mine",
    )
    p.add_argument(
        "--only", action="append", default=[], metavar="ID", help="only this mine of the file; again for more"
    )
    p.add_argument("--sites", help="GeoJSON of named polygons whose time series and onset of activity are wanted")
    _add_dem(p, required=False)
    p.add_argument("--years", help="2022, or 2020-2022")
    p.add_argument("--track", type=int, help="relative orbit (default: the one with most dates in the archive)")
    p.add_argument(
        "--orbits", metavar="FOLDER_OR_URL", help="orbit files (POEORB, RESORB; default: the annotations' own orbits)"
    )
    p.add_argument(
        "--remake-orbits",
        action=argparse.BooleanOptionalAction,
        help="make years again where a better orbit file has come since (default: yes)",
    )
    p.add_argument("--out", help="folder or URL of the published products and catalog")
    p.add_argument("--polarization", choices=("VV", "VH", "HH", "HV"), help="default: VV")
    p.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any setting, such as threshold=0.2"
    )
    p.add_argument("--force", action="store_true", help="make years again that are published with the same inputs")
    p.add_argument(
        "--scheduler", help="address of a Dask scheduler (default: DASK_SCHEDULER_ADDRESS, else a local cluster)"
    )
    p.add_argument("--workers", type=int, help="worker processes of the local cluster (default: by cores and jobs)")
    p.add_argument("--log-json", action="store_true", help="progress as JSON, a line each (also: PITPULSE_LOG=json)")
    p.set_defaults(parser=p)


def _add_pictures(commands) -> None:
    p = _command(commands, "pictures", _pictures, "maps, the eight colours, time series and charts of published years")
    p.add_argument("sources", nargs="+", metavar="ITEM_OR_CUBE", help="STAC items (JSON) or Zarr cubes, path or URL")
    p.add_argument(
        "--mines", default="", metavar="FILE", help="GeoJSON or inventory with outlines, reported production"
    )
    p.add_argument("--sites", default="", help="GeoJSON of named polygons (default: connected active areas)")
    p.add_argument("--out", required=True, help="folder or URL for the PNG files")


def _add_inventory(commands) -> None:
    p = commands.add_parser("inventory", help="mines: import what others list, look at what is there")
    p.set_defaults(action=lambda _: p.print_help() or 0)
    actions = p.add_subparsers(title="actions", metavar="ACTION")
    i = _command(actions, "import", _inventory_import, "read inventories, join what is one mine, write one file")
    i.add_argument(
        "files", nargs="+", metavar="FILE", help="GEM iron ore or coal, ICMM, Jasansky, mine polygons, ours, GeoJSON"
    )
    i.add_argument("--out", required=True, metavar="PARQUET", help="inventory to write, path or URL")
    i.add_argument("--report", default="", metavar="CSV", help="where to write every row that was not placed, and why")
    i.add_argument("--radius", type=float, default=2500.0, help="m of the circle around mines without a polygon")
    i.add_argument("--no-builtin", action="store_true", help="leave the built-in mines out")
    i.add_argument("--overwrite", action="store_true")
    q = _command(actions, "list", _inventory_list, "mines of an inventory, one a line (default: the built-in one)")
    q.add_argument("inventory", nargs="?", default="", metavar="PARQUET")
    q.add_argument("--text", default="", help="part of a name, operator or id")
    q.add_argument("--country", default="", help="ISO 3166-1 alpha-3 code or name")
    q.add_argument("--commodity", default="", help="such as 'iron ore'")
    q.add_argument("--bbox", metavar="W,S,E,N", help="degrees")
    q.add_argument("--limit", type=int, default=50)
    r = _command(actions, "show", _inventory_show, "everything known of one mine, with its sources")
    r.add_argument("id")
    r.add_argument("inventory", nargs="?", default="", metavar="PARQUET")


def _add_emissions(commands) -> None:
    p = _command(
        commands, "emissions", _emissions, "ore mined and CO2 of published mine-years, with intervals, as tables"
    )
    p.add_argument("--root", required=True, help="folder or URL of the published products; its items are told too")
    p.add_argument("--inventory", default="", metavar="FILE", help="inventory or GeoJSON (default: built-in)")
    p.add_argument("--out", required=True, help="folder or URL for the tables, CSV and parquet")
    p.add_argument("--created", required=True, metavar="YYYY-MM-DD", help="date to state in the tables")
    p.add_argument("--modified", default="", metavar="YYYY-MM-DD")
    p.add_argument("--table", metavar="FILE", help="areas and ore that regressions are fitted on (CSV or parquet)")
    p.add_argument("--conversions", metavar="FILE", help="ore per tonne of product, where no mine tells")
    p.add_argument("--ladder", default="ct2023", help="confidence ladder: ct2023, or a JSON of one")
    p.add_argument("--monthly", action="store_true", help="one row a month")


def _add_catalog(commands) -> None:
    p = _command(
        commands, "catalog", _catalog, "write the catalogs, the index and the pages of published products anew"
    )
    p.add_argument("root", help="folder or URL of the published products")


def _add_verify(commands) -> None:
    p = _command(commands, "verify", _verify, "read every published product back and compare it with its checksums")
    p.add_argument("root", help="folder or URL of the published products")


def _add_status(commands) -> None:
    p = _command(commands, "status", _status, "what became of every mine-year: done, superseded, invalid, failed")
    p.add_argument("root", help="folder or URL of the published products")


def _add_cost(commands) -> None:
    p = _command(commands, "cost", _cost, "core hours, bytes, requests and storage of an inventory, made and refreshed")
    p.add_argument("--mines", type=int, action="append", help="how many; again for more (default: 1266 and 45000)")
    p.add_argument(
        "--mine", default="", metavar="FILE", help="GeoJSON or inventory: its number of mines and their size"
    )
    p.add_argument("--area", type=float, default=100.0, help="km2 of a mine's map (default: 100)")
    p.add_argument("--years", type=int, default=5, help="how many are made (default: 5)")
    p.add_argument("--dates", type=int, default=31, help="in a year (default: 31)")
    p.add_argument("--new", type=float, default=2.5, help="dates that a refresh finds (default: 2.5, a month's)")
    p.add_argument("--cores", type=int, default=16)
    p.add_argument("--json", action="store_true", help="print JSON")


def _add_serve(commands) -> None:
    p = _command(commands, "serve", _serve, "STAC API, pages and files of published products over HTTP, read-only")
    p.add_argument("root", help="folder or URL of the published products")
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=8000)
    p.add_argument("--public-url", default="", metavar="URL", help="what links start with (default: as asked)")
    p.add_argument("--behind-proxy", action="store_true", help="believe X-Forwarded-* headers")


def _add_info(commands) -> None:
    p = _command(commands, "info", _info, "what a product holds, and which of its bursts see a point")
    p.add_argument("safe", metavar="SAFE", help="SAFE folder or zip, path or URL")
    p.add_argument(
        "--point",
        metavar="LAT,LON[,HEIGHT]",
        help="degrees and m above the ellipsoid (default: 0)",
    )
    p.add_argument("--polarization", choices=("VV", "VH", "HH", "HV"), help="only this one (default: all)")
    p.add_argument(
        "--json", action="store_true", help="print JSON; times UTC, incidence in degrees, slant_range_time in s"
    )


def _add_coherence(commands) -> None:
    p = _command(commands, "coherence", _coherence, "coherence of one pair on a map grid, with nothing else set up")
    p.add_argument("reference", metavar="REFERENCE", help="SAFE folder or zip of the reference date, path or URL")
    p.add_argument("secondary", metavar="SECONDARY", help="the other date")
    _add_dem(p)
    p.add_argument("--bbox", required=True, metavar="W,S,E,N", help="degrees")
    p.add_argument("--looks", default="7x2", help="coherence window, range x azimuth samples (default: 7x2)")
    p.add_argument("--spacing", type=float, default=20.0, help="of the UTM map grid, m (default: 20)")
    p.add_argument("--polarization", default="VV", choices=("VV", "VH", "HH", "HV"))
    p.add_argument(
        "--radar", action="store_true", help="also the coregistered samples and offsets, in radar/<burst_id>"
    )
    p.add_argument("--overwrite", action="store_true", help="replace what is at --out")
    p.add_argument("--out", required=True, metavar="STORE", help="Zarr store to write, path or URL")


def _add_dem(p, required: bool = True) -> None:
    p.add_argument(
        "--dem",
        required=required,
        action="append",
        metavar="SOURCE",
        help="heights: glo30 or glo90 (Copernicus' public tiles), a path or URL of a GeoTIFF, or a pattern of tiles "
        "with {lat} and {lon} for N50 and E006; again for more, the first that has a height counts",
    )
    p.add_argument(
        "--dem-datum",
        choices=("egm2008", "egm96", "ellipsoid"),
        help="what its heights count from (default: what the file says, else egm2008)",
    )
    p.add_argument("--geoid", help="grid of undulations in m, GeoTIFF or GTX (default: the built-in EGM96)")


def _numbers(text: str, counts: tuple[int, ...], what: str) -> tuple[float, ...]:
    try:
        values = tuple(float(v) for v in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in counts:
        raise BadInput(f"{what}, instead got {text!r}")
    return values


def _demo(arguments) -> int:
    from .commands.demo import demo

    with Progress() as progress:
        return demo(arguments.out, arguments.scheduler, print, progress)


def _simulate(arguments) -> int:
    from .commands.demo import simulate

    scene = {"dates_a_year": arguments.dates, "orbit_pass": arguments.orbit_pass}
    scene |= {"swath": arguments.swath, "seed": arguments.seed}
    with Progress() as progress:
        return simulate(arguments.out, arguments.overwrite, print, progress, **scene)


def _run(arguments) -> int:
    from .commands.run import run

    with _progress(arguments) as progress:
        return run(_run_request(arguments), print, progress)


def _plan(arguments) -> int:
    from .commands.plan import plan

    with _progress(arguments) as progress:
        return plan(_run_request(arguments, repeat=False), arguments.json, print, progress)


def _refresh(arguments) -> int:
    from .commands.run import run

    with _progress(arguments) as progress:
        return run(_run_request(arguments, repeat=False, keep=True, tell_pairs=False), print, progress, brief=True)


def _redrive(arguments) -> int:
    from .commands.run import run

    with _progress(arguments) as progress:
        return run(_run_request(arguments, redrive=True, keep=True, tell_pairs=False), print, progress, brief=True)


def _run_request(arguments, **more):
    """What the words ask for, and the configuration where they say nothing."""
    from .commands.plan import read_config
    from .commands.run import parse_settings, parse_years
    from .dem_source import DemSource
    from .plan import RunRequest

    config = read_config(arguments.config) if arguments.config else {}
    words = {**config, **{name: value for name, value in vars(arguments).items() if value not in (None, [])}}
    missing = [f"--{name}" for name in ("archive", "mine", "dem", "years", "out") if not words.get(name)]
    if missing:
        arguments.parser.error(f"the following arguments are required: {', '.join(missing)}")
    settings = [f"{name}={json.dumps(value)}" for name, value in config.get("settings", {}).items()]
    return RunRequest(
        archive=words["archive"],
        mine=words["mine"],
        dem=DemSource(tuple(words["dem"]), words.get("dem_datum"), words.get("geoid")),
        years=parse_years(str(words["years"])),
        out=words["out"],
        track=words.get("track"),
        settings=parse_settings([*settings, *arguments.set], polarization=words.get("polarization", "VV")),
        cluster=_cluster(words),
        force=arguments.force,
        only=tuple(words.get("only", ())),
        sites=words.get("sites"),
        orbits=words.get("orbits"),
        remake_orbits=words.get("remake_orbits", True),
        **more,
    )


def _cluster(words):
    """The cluster that the words or the configuration name; None for the default."""
    from .clusters import read_cluster

    values = words.get("scheduler") or words.get("cluster")
    if words.get("workers") is not None:
        if isinstance(values, str):
            raise BadInput("--workers is for a cluster that the run starts: the scheduler's address has its own")
        values = {**(values or {}), "workers": words["workers"]}
    return read_cluster(values) if values else None


def _pictures(arguments) -> int:
    from .commands.pictures import PicturesRequest, pictures

    request = PicturesRequest(tuple(arguments.sources), arguments.out, arguments.mines, arguments.sites)
    with Progress() as progress:
        return pictures(request, print, progress)


def _inventory_import(arguments) -> int:
    from .commands.inventory import ImportRequest, import_files

    a = arguments
    request = ImportRequest(tuple(a.files), a.out, a.report, a.radius, not a.no_builtin, a.overwrite)
    return import_files(request, print)


def _inventory_list(arguments) -> int:
    from .commands.inventory import ListRequest, list_mines

    a = arguments
    bbox = _numbers(a.bbox, (4,), "--bbox must be W,S,E,N in degrees") if a.bbox else None
    return list_mines(ListRequest(a.inventory, a.text, bbox, a.country, a.commodity, a.limit), print)


def _inventory_show(arguments) -> int:
    from .commands.inventory import show

    return show(arguments.id, arguments.inventory, print)


def _emissions(arguments) -> int:
    from .commands.emissions import EmissionsRequest, emissions
    from .commands.publisher import add_assessments, mine_years, refresh_index
    from .inventory import builtin_mines
    from .mines import read_mines

    a = arguments
    request = EmissionsRequest(
        a.out, a.created, a.modified, a.table, a.conversions, a.ladder, monthly=a.monthly
    )  # fmt: skip
    mines, refused = read_mines(a.inventory) if a.inventory else (builtin_mines(), [])
    for name, reason in refused:
        print(f"{name}: left out: {reason}")
    found = emissions(request, mine_years(a.root), mines, print)
    print(f"{add_assessments(a.root, found)} items changed in {a.root}")
    refresh_index(a.root)
    return 1 if refused else 0


def _catalog(arguments) -> int:
    from .commands.publisher import rewrite_catalog

    print(f"{rewrite_catalog(arguments.root)} items in {arguments.root}")
    return 0


def _verify(arguments) -> int:
    from .commands.verify import verify

    with Progress() as progress:
        return verify(arguments.root, print, progress)


def _status(arguments) -> int:
    from .commands.verify import status

    return status(arguments.root, print)


def _cost(arguments) -> int:
    from .commands.cost import CostRequest, cost

    a = arguments
    mines = tuple(a.mines or (1266, 45_000))
    return cost(CostRequest(mines, a.mine, a.area, a.years, a.dates, a.cores, a.new), a.json, print)


def _serve(arguments) -> int:
    from .commands.serve import ServeRequest, serve

    a = arguments
    return serve(ServeRequest(a.root, a.host, a.port, a.public_url, a.behind_proxy), print)


def _info(arguments) -> int:
    from .commands.info import info

    point = None
    if arguments.point:
        point = _numbers(arguments.point, (2, 3), "--point must be LAT,LON or LAT,LON,HEIGHT (degrees, m)")
        point = (*point, 0.0)[:3]
    info(arguments.safe, point, arguments.polarization, arguments.json, print)
    return 0


def _coherence(arguments) -> int:
    from .commands.coherence import PairRequest, coherence, parse_looks
    from .dem_source import DemSource

    request = PairRequest(
        reference=arguments.reference,
        secondary=arguments.secondary,
        dem=DemSource(tuple(arguments.dem), arguments.dem_datum, arguments.geoid),
        bbox=_numbers(arguments.bbox, (4,), "--bbox must be W,S,E,N in degrees"),
        looks=parse_looks(arguments.looks),
        spacing=arguments.spacing,
        polarization=arguments.polarization,
        radar=arguments.radar,
    )
    with Progress() as progress:
        coherence(request, arguments.out, arguments.overwrite, print, progress)
    return 0


if __name__ == "__main__":
    sys.exit(main())
