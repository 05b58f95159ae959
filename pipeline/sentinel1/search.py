"""Granules that a STAC API knows: Copernicus' catalogue or any other with Sentinel-1 SLC items.

An archive is named ``cdse``, or ``stac+https://host/path#collection``. What comes of a search is what comes of listing
a folder: granules, one of each recording, and what is wrong with the rest. No manifest is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pystac.errors
import requests
from pystac_client import Client, ItemSearch
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from urllib3.util.retry import Retry

from ..archive import COLLECTION, PRESETS, Granule, Listed, granule_name, is_api, resolve, start_of
from ..errors import BadInput, Unavailable, brief
from ..limits import ITEMS, sane
from ..storage import public_url

TRANSIENT = (429, 500, 502, 503, 504)
_SAFE = re.compile(r".*?\.SAFE(?=/|$)", re.IGNORECASE)
_CHECKED = ("Product", "product", "safe_manifest", "safe-manifest")  # assets whose checksum stands for the product


@dataclass(frozen=True)
class SearchSettings:
    """How to ask.

    Parameters
    ----------
    page : int
        Items in an answer.
    timeout : float
        s, for an answer to begin.
    attempts : int
        Of a request whose answer is transient (429, 500, 502, 503, 504) or that finds no connection.
    backoff : float
        s before the second attempt but one; it doubles from then on.
    """

    page: int = 100
    timeout: float = 30.0
    attempts: int = 4
    backoff: float = 1.0


def parse_api(archive: str) -> tuple[str, str]:
    """URL and collection of an API: ``"stac+https://host/path#collection"`` or the name of a preset.

    Raises
    ------
    BadInput
        It is neither.
    """
    if not is_api(archive):
        names = ", ".join(PRESETS)
        raise BadInput(f"expected {names} or stac+https://host/path#collection, instead got {public_url(archive)!r}")
    url, _, collection = PRESETS.get(archive, archive).removeprefix("stac+").partition("#")
    return url.rstrip("/"), collection or COLLECTION


def search_granules(
    api: str,
    bounds: tuple[float, float, float, float],
    start: np.datetime64,
    stop: np.datetime64,
    settings: SearchSettings | None = None,
) -> Listed:
    """All IW SLC granules over an area and a time.

    Parameters
    ----------
    api : str
        See `parse_api`.
    bounds : tuple of float
        West, south, east, north in degrees; west > east or east > 180 across the antimeridian.
    start, stop : datetime64
        UTC, both inclusive.
    settings : SearchSettings, optional
        Page size, time-out and attempts.

    Returns
    -------
    Listed
        ``broken`` holds items without track or product, or with an unusable footprint; ``dropped`` as in a folder.
        Where nothing is found, it is empty: that is no error.

    Raises
    ------
    BadInput
        Bounds, times or ``api`` can't be used.
    Unavailable
        The API can't be reached, refuses, or answers with something else; never a part of the answer instead.
    """
    url, collection = parse_api(api)
    when, boxes = _interval(start, stop), split_bounds(bounds)
    settings = settings or SearchSettings()
    items: dict[str, Mapping] = {}
    with _client(url, settings) as client:
        for box in boxes:
            search = client.search(collections=[collection], bbox=box, datetime=when, limit=settings.page)
            for page in _pages(search, url):
                items.update((str(item["id"]), item) for item in page)
    granules, broken = [], []
    for key, item in items.items():
        try:
            granule = item_granule(item)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            broken.append((key, f"{url}: the item {key} can't be used: {brief(error)}"))
            continue
        if granule is not None:
            granules.append(granule)
    kept, dropped = resolve(granules)
    return Listed(kept, tuple(sorted(broken)), dropped)


def item_granule(item: Mapping) -> Granule | None:
    """A STAC item as a granule; None where it is no IW SLC.

    Its track, pass and time of processing are properties, its place is the SAFE folder (or zip) that an asset lies in.
    The revision is the checksum of the whole product or its manifest where stated, else when the item was updated.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError
        Something that is needed is missing or of another kind.
    """
    facts, assets = item["properties"], item.get("assets") or {}
    places = [place for asset in assets.values() for place in _places(asset)]
    name = granule_name(str(item["id"])) or next(filter(None, map(granule_name, places)), "")
    mode = facts.get("sar:instrument_mode", "IW")
    if not name or mode != "IW":
        return None
    if not places:
        raise ValueError("expected an asset in a .SAFE folder or a zip, found none")
    if "sat:relative_orbit" not in facts:
        raise ValueError("expected sat:relative_orbit, found none")
    checksums = (assets[key].get("file:checksum") for key in _CHECKED if key in assets)
    revision = next(filter(None, checksums), None) or facts.get("updated") or facts.get("created") or ""
    processed = facts.get("processing:datetime") or facts.get("created") or ""
    return Granule(
        start_of(name),
        name,
        int(facts["sat:relative_orbit"]),
        min(places, key=_preference),
        str(revision),
        _corners(item.get("geometry")),
        str(processed).removesuffix("Z"),
        str(facts.get("sat:orbit_state", "")).lower(),
    )


def split_bounds(bounds: tuple[float, float, float, float]) -> list[tuple[float, float, float, float]]:
    """Bounds as one box, or as two that meet at the antimeridian, longitudes within -180 to 180.

    Raises
    ------
    BadInput
        They are no bounds.
    """
    west, south, east, north = map(float, bounds)
    if not (-90 <= south <= north <= 90 and np.isfinite([west, east]).all() and abs(east - west) < 360):
        raise BadInput(f"bounds must be west, south, east, north in degrees, instead got {tuple(bounds)}")
    width = (east - west) % 360.0
    west = (west + 180.0) % 360.0 - 180.0
    if west + width <= 180.0:
        return [(west, south, west + width, north)]
    return [(west, south, 180.0, north), (-180.0, south, west + width - 360.0, north)]


def _interval(start: np.datetime64, stop: np.datetime64) -> str:
    first, last = (np.datetime64(t, "s") for t in (start, stop))
    if not first <= last:
        raise BadInput(f"the time must run from start to stop, instead got {first} to {last}")
    return f"{first}Z/{last}Z"


@contextmanager
def _client(url: str, settings: SearchSettings) -> Iterator[Client]:
    """A client whose connections end with it; what goes wrong becomes `Unavailable`."""
    retry = Retry(
        total=settings.attempts - 1,
        backoff_factor=settings.backoff,
        status_forcelist=TRANSIENT,
        allowed_methods=None,  # a search is a POST that changes nothing
        raise_on_status=False,
        respect_retry_after_header=False,  # it may ask for hours
    )
    traffic = StacApiIO(timeout=settings.timeout, max_retries=retry)
    try:
        yield Client.open(url, stac_io=traffic)
    except Unavailable:
        raise
    except APIError as error:
        status = getattr(error, "status_code", None)
        said = f"status {status}" if status else brief(error)
        raise Unavailable(
            f"can't search {public_url(url)}: {said} after up to {settings.attempts} attempts; check the URL, the "
            "network and the service's state, and try again later"
        ) from error
    except (requests.RequestException, pystac.errors.STACError, NotImplementedError, LookupError, ValueError) as error:
        raise Unavailable(
            f"can't search {public_url(url)}: expected a STAC API with item search, found something else "
            f"({brief(error)}); check the URL"
        ) from error
    finally:
        traffic.session.close()


def _pages(search: ItemSearch, url: str) -> Iterator[list[Mapping]]:
    """Items page by page until the last; a server that repeats itself is refused rather than followed for ever."""
    seen: set[str] = set()
    for page in search.pages_as_dicts():
        items = page["features"]
        new = {str(item["id"]) for item in items} - seen
        if items and not new:
            raise Unavailable(
                f"can't search {public_url(url)}: a further page repeats {items[0]['id']}; its paging is broken"
            )
        seen |= new
        if len(seen) > ITEMS:
            raise Unavailable(f"can't search {public_url(url)}: it answers with more than {ITEMS} items; ask for less")
        yield items


def _places(asset: Mapping) -> list[str]:
    """URLs of the SAFE folder or zip that an asset is or lies in, those of its alternates too."""
    hrefs = [asset.get("href")] + [a.get("href") for a in (asset.get("alternate") or {}).values()]
    found = []
    for href in filter(None, hrefs):
        if inside := _SAFE.match(href):
            found.append(inside[0])
        elif href.lower().endswith(".zip") and granule_name(href):
            found.append(href)
    return found


def _preference(place: str) -> tuple[int, str]:
    """Buckets first, since byte ranges are read from them; zips last."""
    return (place.lower().endswith(".zip"), not place.startswith("s3://"), place)


def _corners(geometry: Mapping | None) -> tuple[tuple[float, float], ...]:
    """Corners of a footprint, (lon, lat); of one that is cut at the antimeridian, those of both parts."""
    if not geometry:
        return ()
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"expected a Polygon or MultiPolygon, found {geometry['type']}")
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    points = [(float(p[0]), float(p[1])) for polygon in polygons for p in polygon[0]]
    if not all(sane(point, 720.0) for point in points):
        raise ValueError("expected finite degrees in the footprint, found others")
    return tuple(dict.fromkeys(points))
