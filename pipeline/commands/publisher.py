"""The catalog as the commands use it; nothing else of the pipeline knows that there is one."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Sequence

import numpy as np

from ..assess import Assessment, assess
from ..finish import Finished, Published
from ..model import Mine
from ..storage import open_store


class CatalogPublisher:
    """The catalog for the runner, which knows it as a `finish.Publisher`."""

    def published(self, mine: Mine, year: int, key: str, root: str, options: dict) -> bool:
        """See `finish.Publisher`."""
        from catalog.publish import is_published

        return is_published(root, mine.id, year, key, **options)

    def show(self, mine: Mine, year: int, key: str, root: str, options: dict) -> Published:
        """See `finish.Publisher`."""
        from catalog.publish import listed_version, show
        from catalog.stac import item_path

        document = listed_version(root, mine.id, year, key, **options)
        if document is None:  # what else the catalog has to say of one that it lists, `complete_catalog` sees to
            document = show(root, mine.id, year, key, **options).to_dict(transform_hrefs=False)
        facts, place = document["properties"], item_path(mine.id, year)
        values = (facts["pitpulse:active_area"], *facts["pitpulse:active_area_interval"])
        area = tuple(np.nan if v is None else v for v in values)
        base = root.rstrip("/")
        cube = posixpath.normpath(posixpath.join(posixpath.dirname(place), document["assets"]["cube"]["href"]))
        broken = tuple(facts.get("pitpulse:broken_granules", ()))
        return Published(f"{base}/{place}", f"{base}/{cube}", area, broken)

    def publish(self, mine: Mine, finished: Finished, root: str, options: dict) -> str:
        """See `finish.Publisher`."""
        from catalog.publish import Extras, publish

        f = finished
        events = {"sites": f.series.sites, "changes": f.series.changes, "alerts": f.series.alerts}
        extras = Extras(f.thumbnail, f.series.parquet(), events, f.rgba, f.rgba_years, f.colours)
        return publish(mine, f.cube, f.area, extras, root, **options).get_self_href()

    def stem(self, mine: Mine, year: int, key: str) -> str:
        """Path of a product from the root, without suffix."""
        from catalog.publish import product_stem

        return product_stem(mine.id, year, key)


def mine_years(root: str) -> list[dict]:
    """Properties of every mine-year that the catalog under ``root`` lists."""
    from catalog.publish import listed_items

    return [item["properties"] for item in listed_items(root)]


def add_assessments(root: str, found: Sequence[Assessment]) -> int:
    """Have the listed items say production and emissions; returns how many changed."""
    from catalog.publish import annotate

    facts = {(a.mine_id, a.year): a.properties for a in found if a.year is not None}
    return annotate(root, facts)


def complete_catalog(root: str, mines: Sequence[Mine]) -> list[Assessment]:
    """What follows from all years of a run: production and emissions where figures are known, index, pages.

    Mines without any reported figure are left as they are: their production needs the whole inventory, which
    ``pitpulse emissions`` takes.
    """
    from catalog.listing import mend_catalog

    known, found = [mine for mine in mines if mine.production], []
    if known:
        ids = {mine.id for mine in known}
        found = assess([p for p in mine_years(root) if p["pitpulse:mine_id"] in ids], known)
        add_assessments(root, found)
    mend_catalog(root, [mine.id for mine in mines])
    refresh_index(root)
    return found


def refresh_index(root: str) -> None:
    """Bring the index and the pages up to the items that the catalog lists."""
    from catalog.index import update_index
    from catalog.pages import build_pages

    update_index(root)
    build_pages(root)


def publish_report(root: str, record: str, started: float, seconds: float, outcomes: Sequence[dict]) -> str:
    """Write the page about a run beside its record; see `catalog.report.write_report`."""
    from catalog.report import write_report

    return write_report(root, record, started, seconds, outcomes)


def rewrite_catalog(root: str) -> int:
    """Write every catalog anew from the items that are there, then index and pages; returns the number of items."""
    from catalog.listing import rebuild_catalog

    items = rebuild_catalog(root)
    refresh_index(root)
    return items


def listed_attributes(root: str, mine_id: str, year: int) -> dict | None:
    """Attributes of the cube that the catalog lists for a mine-year; None where it lists none."""
    from catalog.stac import item_path

    from ..cube import open_cube

    location = open_store(root)
    place = item_path(mine_id, year)
    if not location.exists(place):
        return None
    href = json.loads(location.read_bytes(place))["assets"]["cube"]["href"]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place), href))
    return dict(open_cube(f"{root.rstrip('/')}/{path}").attrs)


def published_versions(root: str) -> list:
    """Every published version, as `catalog.check.Version`: mine, year, stem and state."""
    from catalog.check import published_versions as found

    return found(root)


def verify_version(root: str, version) -> list[str]:
    """What of a published version differs from what was published; empty where it is whole."""
    from catalog.check import problems

    return problems(root, version)


def api_application(root: str, **settings):
    """The ASGI application that serves the published folder ``root``; ``settings`` are those of `catalog.api`.

    Raises
    ------
    ImportError
        FastAPI isn't installed.
    BadInput
        The URL or a setting can't be used.
    """
    from catalog.api import ApiSettings, create_app

    return create_app(root, ApiSettings(**settings))
