"""Where a job's heights come from, how far around a mine they are wanted, and what state they are in.

A refresh over a thousand mines asks the stores of its elevation model once a file, before anything else is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .archive import file_revision
from .dem import Dem, margin_degrees, read_dem
from .dem_tiles import TileIndex, datum_of, epoch_of, is_tiled, patterns_of, title
from .geoid import BUILT_IN
from .raster import continuous

DEM_MARGIN = 3000.0  # m beyond the area: mountains lean by their height
DEM_TURN = 0.3  # ... and of the area's size, because the radar's window is turned against the map


@dataclass(frozen=True)
class DemSource:
    """Where heights come from: one or several files, patterns and presets (see `dem_tiles`), and their vertical datum.

    ``geoid`` names a grid of undulations in place of the built-in one.
    """

    urls: tuple[str, ...]
    datum: str | None = None
    geoid: str | None = None
    epoch: str = ""
    revision: str = ""  # of the files' contents

    def __post_init__(self):
        """BadInput for a pattern that can't be used, or a datum that contradicts a preset's."""
        patterns_of(self.urls), datum_of(self.urls, self.datum)

    @property
    def name(self) -> str:
        """For metadata: the sources, their datum, the geoid that makes heights ellipsoidal, and their epoch."""
        datum = datum_of(self.urls, self.datum)
        facts = [datum or "stated datum"]
        if datum != "ellipsoid":
            facts.append(f"geoid {title(self.geoid) if self.geoid else BUILT_IN}")
        facts += filter(None, [self.epoch or epoch_of(self.urls)])
        return f"{' '.join(map(title, self.urls))} ({', '.join(facts)})"

    @property
    def key(self) -> str:
        """For fingerprints: the name and all that decides which heights come of it."""
        return " | ".join((self.name, self.geoid or "", self.epoch, self.revision))


def read_heights(dem: DemSource, bounds, storage_options=None) -> Dem:
    """Heights that must cover ``bounds`` (W, S, E, N in degrees), and what there is of the ground around."""
    margin, options = _dem_margin(bounds), {"storage_options": storage_options}
    return read_dem(dem.urls, bounds, dem.datum, margin=margin, geoid=dem.geoid, epoch=dem.epoch, **options)


def _dem_margin(bounds) -> float:
    """How far beyond the area heights are wanted, m."""
    west, south, east, north = bounds
    return DEM_MARGIN + DEM_TURN * max(north - south, (east - west) % 360.0) * 111_200.0


class DemRevisions:
    """What tells one state of an elevation model from another, over each mine of a run; files are asked once."""

    def __init__(self, dem: DemSource, storage_options: dict | None = None):
        self._dem, self._tiles = dem, TileIndex(storage_options)
        files = [url for url in dem.urls if not is_tiled(url)] + ([dem.geoid] if dem.geoid else [])
        self._files = [file_revision(url, storage_options) for url in files]

    def over(self, bounds) -> DemSource:
        """The elevation model with the revision of what is read for an area (W, S, E, N in degrees).

        Raises
        ------
        NoCoverage, Unavailable
            As `dem_tiles.TileIndex.find`.
        """
        needed = continuous(bounds)
        found = self._tiles.find(self._dem.urls, needed, margin_degrees(_dem_margin(bounds), needed))
        tiles = [f"{name} {known}" for name, known in found.revisions]
        return replace(self._dem, revision=" ".join([*self._files, *tiles]))
