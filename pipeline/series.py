r"""Time series of a mine's sites from its finished cubes: a row for every site and pair, when each was active, alerts.

The stable points are the first "site". A site is a polygon or a connected active area; its index in a pair is that of
its mean coherence. Several years' cubes make one series; each year keeps its own stable points.

A site's noise follows from how many independent windows it holds: a window of N_r x N_a samples covers

    N_r * 2.33 m / sin(incidence)  x  N_a * 13.95 m

(the sample spacings of Sentinel-1 IW, about 26 x 28 m for 7 x 2 at 39 degrees). A site holds one independent window for
every 1.2 that fit in, measured on simulated speckle for sites of 40 to 100 m: windows of neighbouring pixels overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import xarray as xr

from .activity.area import pixel_areas
from .activity.ndai import ndai, site_ndai
from .activity.onset import (
    Alert,
    Episode,
    IndexSeries,
    find_alerts,
    find_episodes,
    new_alert,
    patch_noise,
    quiet_level,
    speckle_noise,
)
from .activity.sites import Site, connected_sites, named_site
from .cube import grid_of
from .errors import BadInput
from .grid import inside
from .settings import Settings
from .variables import ACTIVE, VARIABLES, reason_words

STABLE_POINTS = "stable points"
RANGE_SPACING, AZIMUTH_SPACING = 2.3296, 13.95  # m, slant range and along track, of IW samples
WINDOW = 1.2  # window areas that one independent window takes of a site
_TIME = pa.timestamp("us", tz="UTC")
# name, type, unit, what it is; names that the cube knows take its words
COLUMNS = (
    ("site", pa.string(), "", "name of the site"),
    ("reference_time", _TIME, "", ""),
    ("secondary_time", _TIME, "", ""),
    ("temporal_baseline", pa.float64(), "d", ""),
    ("perpendicular_baseline", pa.float64(), "m", ""),
    ("coherence_mean", pa.float64(), "1", "mean coherence of the site"),
    ("coherence_std", pa.float64(), "1", "standard deviation of coherence over the site"),
    ("ndai", pa.float64(), "1", "activity index of the site's mean coherence"),
    ("stable_mean", pa.float64(), "1", ""),
    ("stable_std", pa.float64(), "1", ""),
    ("accepted", pa.bool_(), "", ""),
    ("reason", pa.string(), "", ""),
    ("pixels", pa.int64(), "1", "pixels of the site with a value"),
)
PAIR_COLUMNS = ("temporal_baseline", "perpendicular_baseline", "stable_mean", "stable_std", "accepted")


@dataclass(frozen=True, eq=False)
class MineSeries:
    """All that a mine's sites say over time.

    Parameters
    ----------
    table : pyarrow.Table
        Columns of `COLUMNS`; a row a site and pair, site by site, pairs in the order of their dates; null where
        missing.
    sites : tuple of dict
        Name, ``area_m2``, ``pixels``, and ``level``, ``noise``, ``quiet_pairs`` of its index while quiet; None where it
        never was.
    changes : tuple of dict
        Times of activity, site by site, see `activity.onset.Episode`; times in ISO 8601.
    alerts : tuple of dict
        Every alert as the pairs arrived; ``new`` where the newest pair raised it.
    """

    table: pa.Table = field(repr=False)
    sites: tuple[dict, ...] = ()
    changes: tuple[dict, ...] = ()
    alerts: tuple[dict, ...] = ()

    def parquet(self) -> bytes:
        """The table as a parquet file; same table, same bytes."""
        sink = pa.BufferOutputStream()
        pyarrow.parquet.write_table(self.table, sink, compression="zstd", version="2.6")
        return sink.getvalue().to_pybytes()


@dataclass(frozen=True, eq=False)
class _Year:
    """One cube's arrays, read once."""

    cube: xr.Dataset
    coherence: np.ndarray
    reference: np.ndarray  # (pair,) R_t


def active_sites(cube: xr.Dataset, settings: Settings) -> tuple[Site, ...]:
    """Connected active areas inside the mine of a finished cube, the largest first; ``site_minimum_area`` at least."""
    active = (cube["activity"].values == ACTIVE) & (cube["mine"].values == 1)
    return connected_sites(active, pixel_areas(grid_of(cube)), settings.site_minimum_area)


def polygon_sites(polygons: Mapping[str, dict], cube: xr.Dataset) -> tuple[Site, ...]:
    """Sites from GeoJSON polygons (lon/lat degrees) by name; pixels whose centre lies inside.

    Raises
    ------
    BadInput
        A polygon that holds no pixel centre of the cube.
    """
    grid = grid_of(cube)
    areas = pixel_areas(grid)
    return tuple(named_site(name, inside(geometry, grid), areas) for name, geometry in polygons.items())


def mine_series(cubes: Sequence[xr.Dataset], sites: Sequence[Site], settings: Settings) -> MineSeries:
    """Series, changes and alerts of sites over one or several years.

    Parameters
    ----------
    cubes : sequence of xarray.Dataset
        Finished or published cubes of one mine on one track and one grid, in any order.
    sites : sequence of Site
        On the cubes' grid, names unique; the stable points are added before them.
    settings : Settings
        ``stable_block`` and all that begin with ``onset_`` and ``alert_``.

    Raises
    ------
    BadInput
        No cube, cubes of different tracks or grids, the same pair twice, or sites that don't fit.
    """
    _check(cubes, sites)
    years = [_read(cube) for cube in cubes]
    pairs = _pair_table(years)
    order = np.lexsort((pairs["reference_time"], pairs["secondary_time"]))
    pairs = {name: values[order] for name, values in pairs.items()}
    dates = list(zip(pairs["reference_time"].tolist(), pairs["secondary_time"].tolist(), strict=True))
    if len(set(dates)) < len(dates):
        twice = next(d for k, d in enumerate(dates) if d in dates[:k])
        start, stop = (np.datetime64(v, "ns").astype("datetime64[s]") for v in twice)
        raise BadInput(f"the pair {start} to {stop} is in two cubes; give each year once, with one pair_year")
    looks = float(np.mean([year.cube.attrs["equivalent_looks"] for year in years]))
    patch = float(np.sqrt(np.mean([_patch(year, looks, settings) ** 2 for year in years])))
    noise = looks, patch, _window_area(cubes[0])
    rows, about, changes, alerts = [_stable_rows(years, pairs, order)], [], [], []
    for site in sites:
        series = _site_rows(site, years, order)
        rows.append(series)
        index = _index_series(site, series["ndai"], pairs, noise)
        quiet = quiet_level(index)
        about.append(_about(site, quiet))
        changes += [_change(site.name, e, pairs) for e in find_episodes(index, settings)]
        newest = new_alert(index, settings)
        alerts += [_alert(a, pairs, new=a == newest) for a in find_alerts(index, settings)]
    names = [STABLE_POINTS, *(site.name for site in sites)]
    return MineSeries(_table(names, rows, pairs, cubes[0]), tuple(about), tuple(changes), tuple(alerts))


def _check(cubes, sites) -> None:
    if not cubes:
        raise BadInput("a series needs at least one cube, instead got none")
    grid, track = grid_of(cubes[0]), cubes[0].attrs.get("track")
    for cube in cubes[1:]:
        if grid_of(cube) != grid or cube.attrs.get("track") != track:
            raise BadInput(
                f"cubes of one series must share track and grid, instead got tracks {track} and "
                f"{cube.attrs.get('track')}, grids of {tuple(grid.shape)} and {tuple(grid_of(cube).shape)}"
            )
    names = [STABLE_POINTS, *(site.name for site in sites)]
    if len(set(names)) < len(names):
        raise BadInput(f"site names must be unique and not {STABLE_POINTS!r}, instead got {', '.join(names[1:])}")
    for site in sites:
        if site.mask.shape != tuple(grid.shape):
            raise BadInput(
                f"site {site.name}: its mask must be on the cubes' grid {tuple(grid.shape)}, got {site.mask.shape}"
            )


def _read(cube) -> _Year:
    reference = cube["stable_reference"] if "stable_reference" in cube else cube["stable_mean"]
    return _Year(cube, cube["coherence"].values, reference.values.astype(np.float64))


def _pair_table(years) -> dict[str, np.ndarray]:
    """Columns that belong to the pairs alone, all years one after the other."""
    names = ("reference_time", "secondary_time", *PAIR_COLUMNS)
    pairs = {name: np.concatenate([year.cube[name].values for year in years]) for name in names}
    pairs["reference"] = np.concatenate([year.reference for year in years])
    pairs["reason"] = np.array([word for year in years for word in reason_words(year.cube["reason"].values)])
    return pairs


def _stable_rows(years, pairs, order) -> dict[str, np.ndarray]:
    masks = [year.cube["stable_point"].values == 1 for year in years]
    pixels = [np.isfinite(y.coherence[:, mask]).sum(axis=1) for y, mask in zip(years, masks, strict=True)]
    return {
        "coherence_mean": pairs["stable_mean"],
        "coherence_std": pairs["stable_std"],
        "ndai": ndai(pairs["stable_mean"], pairs["reference"]),
        "pixels": np.concatenate(pixels)[order],
    }


def _site_rows(site, years, order) -> dict[str, np.ndarray]:
    found = [site_ndai(year.coherence, site.mask, year.reference) for year in years]
    names = {"coherence_mean": "mean", "coherence_std": "std", "ndai": "index", "pixels": "pixels"}
    return {name: np.concatenate([getattr(f, part) for f in found])[order] for name, part in names.items()}


def _patch(year, looks, settings) -> float:
    """`patch_noise` of a year's stable points."""
    cube = year.cube
    rows, columns = np.nonzero(cube["stable_point"].values == 1)
    use = cube["accepted"].values & np.isfinite(year.reference)
    if rows.size == 0 or not use.any():
        return 0.0
    size = max(int(round(settings.stable_block / grid_of(cube).resolution.x)), 1)
    blocks = (rows // size) * (cube.sizes["x"] // size + 1) + columns // size
    pixels = _window_area(cube) / abs(grid_of(cube).resolution.x * grid_of(cube).resolution.y)
    return patch_noise(year.coherence[use][:, rows, columns], blocks, year.reference[use], looks, pixels)


def _index_series(site, index, pairs, noise) -> IndexSeries:
    looks, patch, window = noise
    return IndexSeries(
        site=site.name,
        index=index,
        reference=pairs["reference"],
        accepted=pairs["accepted"],
        reference_time=pairs["reference_time"],
        secondary_time=pairs["secondary_time"],
        speckle=speckle_noise(looks, site.area / window),
        patch=patch,
    )


def _window_area(cube) -> float:
    """Ground that one independent window takes, m2."""
    range_looks, azimuth_looks = (int(n) for n in cube.attrs["looks"].split()[0].split("x"))
    angle = float(np.nanmean(cube["incidence_angle"].values))
    return WINDOW * range_looks * RANGE_SPACING / np.sin(angle) * azimuth_looks * AZIMUTH_SPACING


def _table(names, rows, pairs, cube) -> pa.Table:
    count = len(pairs["reference_time"])
    fields, arrays = [], []
    for name, kind, unit, words in COLUMNS:
        if name == "site":
            values = np.repeat(np.array(names), count)
        elif name in pairs and name != "reference":
            values = np.tile(pairs[name], len(names))
        else:
            values = np.concatenate([row[name] for row in rows])
        if kind == _TIME:
            values = values.astype("datetime64[us]")
        words = words or VARIABLES[name].long_name
        fields.append(pa.field(name, kind, metadata={"long_name": words, **({"units": unit} if unit else {})}))
        arrays.append(pa.array(values, kind, from_pandas=True))
    about = {name: str(cube.attrs[name]) for name in ("mine_id", "mine_name", "track") if cube.attrs.get(name)}
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=about))


def _about(site, quiet) -> dict:
    level = {} if quiet is None else {k: _plain(v) for k, v in asdict(quiet).items()}
    return {
        "site": site.name,
        "area_m2": round(site.area, 1),
        "pixels": site.pixels,
        "level": level.get("level"),
        "noise": level.get("noise"),
        "quiet_pairs": level.get("pairs"),
    }


def _change(name, episode: Episode, pairs) -> dict:
    end = episode.end or (None, None)
    return {
        "site": name,
        "onset_after": _iso(episode.onset[0]),
        "onset_before": _iso(episode.onset[1]),
        "onset_widened": episode.onset_widened,
        "active_from_the_start": not episode.begun,
        "end_after": _iso(end[0]),
        "end_before": _iso(end[1]),
        "end_widened": episode.end_widened,
        "ongoing": episode.end is None,
        "last_active": _iso(pairs["secondary_time"][episode.last]),
        "confidence": _plain(episode.confidence),
        "ndai": _plain(episode.index),
    }


def _alert(alert: Alert, pairs, *, new: bool) -> dict:
    values = {k: _plain(v) for k, v in asdict(alert).items() if k not in ("first_pair", "second_pair")}
    for word, k in (("first", alert.first_pair), ("second", alert.second_pair)):
        values[f"{word}_reference"] = _iso(pairs["reference_time"][k])
        values[f"{word}_secondary"] = _iso(pairs["secondary_time"][k])
    return {**values, "new": new}


def _iso(time) -> str | None:
    return None if time is None else f"{np.datetime_as_string(np.datetime64(time, 's'))}Z"


def _plain(value):
    """A number as JSON has it: six digits after the point, None where it isn't finite."""
    if isinstance(value, float | np.floating):
        return round(float(value), 6) if isfinite(value) else None
    return value
