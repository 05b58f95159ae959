"""``pitpulse info``: bursts of a product, and where they see a point."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np

from ..insar.mapping import pixel_times
from ..insar.range_doppler import incidence_angle, radar_coordinates
from ..model import Burst, Product
from ..sentinel1.products import open_product
from .checks import check_point


def burst_facts(burst: Burst) -> dict:
    """One burst as plain values."""
    return {
        "swath": burst.swath,
        "index": burst.index,
        "burst_id": burst.burst_id,
        "polarization": burst.polarization,
        "azimuth_time": np.datetime_as_string(burst.azimuth_time, "ns"),
        "track": burst.track,
        "platform": burst.platform,
        "footprint": [list(corner) for corner in burst.footprint],
    }


def sightings(product: Product, latitude: float, longitude: float, height: float) -> list[dict]:
    """Every burst whose valid samples hold a point (degrees, m above the ellipsoid), with where and how it sees it."""
    found = []
    lat, lon = np.deg2rad(latitude), np.deg2rad(longitude)
    for burst in product.bursts:
        line, sample = (float(v) for v in radar_coordinates(burst, lat, lon, height))
        if not (np.isfinite(line) and -0.5 <= line <= burst.lines - 0.5):
            continue
        row = min(max(round(line), 0), burst.lines - 1)
        first, last = burst.first_valid_sample[row], burst.last_valid_sample[row]
        if first < 0 or not (first - 0.5 <= sample <= last + 0.5):
            continue
        t, tau = pixel_times(burst, line, sample)
        angle = incidence_angle(burst.orbit, t, lat, lon, height)
        found.append(
            {
                "swath": burst.swath,
                "index": burst.index,
                "burst_id": burst.burst_id,
                "polarization": burst.polarization,
                "line": line,
                "sample": sample,
                "azimuth_time": np.datetime_as_string(burst.orbit.instant(float(t)), "ns"),
                "slant_range_time": float(tau),
                "incidence": float(np.rad2deg(angle)),
            }
        )
    return found


def info(url: str, point, polarization: str | None, as_json: bool, say: Callable[[str], None]) -> None:
    """Print what a product holds; ``point`` is (latitude, longitude, height) or None."""
    if point is not None:
        check_point(*point[:2])
    product = open_product(url, polarization)
    facts = {
        "granule": product.granule,
        "platform": product.platform,
        "track": product.track,
        "absolute_orbit": product.absolute_orbit,
        "orbit_pass": product.orbit_pass,
        "processor_version": product.processor_version,
        "bursts": [burst_facts(burst) for burst in product.bursts],
    }
    if point is not None:
        facts["point"] = {
            "latitude": point[0],
            "longitude": point[1],
            "height": point[2],
            "bursts": sightings(product, *point),
        }
    if as_json:
        say(json.dumps(facts, indent=1))
        return
    say(f"{facts['granule']}")
    say(
        f"{product.platform}, track {product.track} {product.orbit_pass}, orbit {product.absolute_orbit}, "
        f"processor {product.processor_version or 'not stated'}"
    )
    say(
        f"{'burst_id':<18} {'index':>5} {'pol':>3}  azimuth time of line 0 (UTC)      longitude, latitude of its middle"
    )
    for burst in product.bursts:
        lon, lat = np.mean(burst.footprint[:-1], axis=0) if burst.footprint else (np.nan, np.nan)
        say(
            f"{burst.burst_id:<18} {burst.index:>5} {burst.polarization:>3}  "
            f"{np.datetime_as_string(burst.azimuth_time, 'us'):<32}  {lon:9.4f} {lat:9.4f}"
        )
    if point is not None:
        seen = facts["point"]["bursts"]
        say(f"point {point[0]:.5f}, {point[1]:.5f} at {point[2]:.1f} m: seen by {len(seen)} burst(s)")
        if not seen:
            say("  expected a point among the places above, latitude first; are latitude and longitude swapped?")
        for s in seen:
            say(
                f"{s['burst_id']:<18} {s['polarization']} line {s['line']:.3f} sample {s['sample']:.3f}  "
                f"{s['azimuth_time']}  {s['slant_range_time']:.12f} s  incidence {s['incidence']:.3f} degrees"
            )
