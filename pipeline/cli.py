"""The command ``pitpulse``: arguments in, plain text or JSON out. The only module that prints.

Everything heavy is imported when a subcommand needs it, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from . import __version__
from .errors import BadInput, PitpulseError

EXAMPLES = """\
examples:
  pitpulse demo                                          a simulated mine, three years, everything under build/demo
  pitpulse info S1A_IW_SLC__….SAFE --point 50.89,6.57    which bursts see a point, and where
  pitpulse coherence REF.SAFE SEC.SAFE --dem dem.tif --bbox 6.4,50.8,6.7,51.0 --out pair.zarr
  pitpulse run --archive slc/ --mine mine.geojson --dem dem.tif --years 2021-2023 --out products/
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
        print(f"pitpulse: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("pitpulse: interrupted; nothing half-written is visible, the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away: its right
        sys.stderr.close()
        return 0


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
    p.add_argument("out", help="folder for slc/*.SAFE, dem.tif, mine.geojson and truth.json")
    p.add_argument("--dates", type=int, default=14, help="dates a year, 12 days apart (default: 14)")
    p.add_argument("--swath", choices=("IW1", "IW2", "IW3"), default="IW2")
    p.add_argument("--orbit-pass", choices=("ascending", "descending"), default="descending")
    p.add_argument("--seed", type=int, default=2021)
    p.add_argument("--overwrite", action="store_true", help="replace an earlier scene in the folder")


def _add_run(commands) -> None:
    p = _command(commands, "run", _run, "products of one mine: coherence, NDAI, classes, areas, STAC items")
    p.add_argument("--archive", required=True, help="folder or URL that holds SAFE folders or zips")
    p.add_argument(
        "--mine", required=True, help="GeoJSON of the mine's polygon; properties id, name, country, commodity"
    )
    _add_dem(p)
    p.add_argument("--years", required=True, help="2022, or 2020-2022")
    p.add_argument("--track", type=int, help="relative orbit (default: the one with most dates in the archive)")
    p.add_argument("--out", required=True, help="folder or URL of the published products and catalog")
    p.add_argument("--polarization", default="VV", choices=("VV", "VH", "HH", "HV"))
    p.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any setting, such as threshold=0.2"
    )
    p.add_argument("--force", action="store_true", help="make years again that are published with the same inputs")
    p.add_argument(
        "--scheduler", help="address of a Dask scheduler (default: DASK_SCHEDULER_ADDRESS, else a local cluster)"
    )


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


def _add_dem(p) -> None:
    p.add_argument(
        "--dem", required=True, action="append", help="GeoTIFF of heights, path or URL; again for more tiles"
    )
    p.add_argument(
        "--dem-datum",
        choices=("egm2008", "egm96", "ellipsoid"),
        help="what its heights count from (default: what the file says, else egm2008)",
    )


def _numbers(text: str, counts: tuple[int, ...], what: str) -> tuple[float, ...]:
    try:
        values = tuple(float(v) for v in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in counts:
        raise BadInput(f"{what}, instead got {text!r}")
    return values


class Progress:
    """Lines on stderr; where the next is long in coming, the last one again with the seconds it has taken so far."""

    INTERVAL = 2.0  # s

    def __init__(self):
        self._text, self._since, self._told = "", time.monotonic(), time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __call__(self, text: str) -> None:
        """Say what was done or what comes now."""
        self._text = text
        self._since = self._told = time.monotonic()
        self._print(text)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            now = time.monotonic()
            if now - self._told >= self.INTERVAL:
                self._told = now
                self._print(f"… {self._text or 'starting'} ({now - self._since:.0f} s)")

    @staticmethod
    def _print(text: str) -> None:
        with suppress(OSError, ValueError):  # nobody reads: the work goes on
            print(f"  {text}", file=sys.stderr, flush=True)


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
    from .commands.run import RunRequest, parse_settings, parse_years, run
    from .mine_year import DemSource

    request = RunRequest(
        archive=arguments.archive,
        mine=arguments.mine,
        dem=DemSource(tuple(arguments.dem), arguments.dem_datum),
        years=parse_years(arguments.years),
        out=arguments.out,
        track=arguments.track,
        settings=parse_settings(arguments.set, polarization=arguments.polarization),
        scheduler=arguments.scheduler,
        force=arguments.force,
    )
    with Progress() as progress:
        return run(request, print, progress)


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
    from .mine_year import DemSource

    request = PairRequest(
        reference=arguments.reference,
        secondary=arguments.secondary,
        dem=DemSource(tuple(arguments.dem), arguments.dem_datum),
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
