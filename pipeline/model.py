"""The values that travel through pitpulse: what an annotation says, where a mine is, what a pair is.

All of them are frozen. Times are UTC ``numpy.datetime64[ns]``; ``Orbit.seconds`` turns them into the float seconds that
kernels use. Distances in m, angles in rad, slant range times in s and two-way. Lines and samples are 0-based and
count in the burst; a pixel's coordinate is its centre.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Orbit:
    """State vectors of one satellite in the earth-fixed frame (ITRF, taken as WGS84).

    Parameters
    ----------
    epoch : datetime64[ns]
        The instant that ``time`` counts from; the seconds that all kernels use count from it too.
    time : ndarray, (vector,), float64
        Seconds since ``epoch``, strictly increasing.
    position, velocity : ndarray, (vector, 3), float64
        m and m/s, earth-fixed.
    source : str
        ``"annotation"`` or the name of the orbit file.
    """

    epoch: np.datetime64
    time: NDArray[np.float64]
    position: NDArray[np.float64]
    velocity: NDArray[np.float64]
    source: str = "annotation"

    def seconds(self, instant):
        """Seconds from the epoch to ``instant`` (datetime64 scalar or array), float64, exact to the nanosecond."""
        delta = np.asarray(instant, "datetime64[ns]") - np.datetime64(self.epoch, "ns")
        return delta.astype(np.int64) * 1e-9

    def instant(self, seconds):
        """The inverse of `seconds`: datetime64[ns]."""
        nanoseconds = np.round(np.asarray(seconds, np.float64) * 1e9).astype(np.int64)
        return np.datetime64(self.epoch, "ns") + nanoseconds.astype("timedelta64[ns]")


@dataclass(frozen=True)
class RangePolynomial:
    """A polynomial in two-way slant range time about its own origin: sum of coefficients[i] * (tau - t0)**i.

    Doppler centroid (Hz) and azimuth FM rate (Hz/s) are given so, each record with its own ``t0``; using the swath's
    slant range time instead leaves tens of Hz of residual centre frequency.
    """

    azimuth_time: np.datetime64
    t0: float
    coefficients: tuple[float, ...]

    def __call__(self, slant_range_time):
        """Value at ``slant_range_time`` (s, two-way), same shape."""
        x = np.asarray(slant_range_time, np.float64) - self.t0
        value = np.zeros_like(x)
        for c in reversed(self.coefficients):
            value = value * x + c
        return value


@dataclass(frozen=True, eq=False)
class Burst:
    """All that an annotation says of one burst: timing, spectrum, steering, valid samples, orbit.

    ``first_valid_sample`` and ``last_valid_sample`` (line,) int64 hold -1 on invalid lines; both ends are valid
    samples. ``index`` is the 0-based place of the burst in its product and says nothing of where it is on Earth:
    ``burst_id`` does.
    """

    burst_id: str  # "t088_185683_iw2"
    index: int
    platform: str  # "S1A"
    swath: str  # "IW2"
    polarization: str  # "VV"
    track: int  # relative orbit number
    orbit_pass: str  # "ascending" or "descending"
    azimuth_time: np.datetime64  # zero-Doppler time of line 0
    azimuth_time_interval: float  # s
    slant_range_time: float  # s, two-way, of sample 0
    range_sampling_rate: float  # Hz
    radar_frequency: float  # Hz
    lines: int
    samples: int
    first_valid_sample: NDArray[np.int64] = field(repr=False)
    last_valid_sample: NDArray[np.int64] = field(repr=False)
    doppler_centroid: RangePolynomial = field(repr=False)  # Hz
    azimuth_fm_rate: RangePolynomial = field(repr=False)  # Hz/s
    steering_rate: float = field(repr=False)  # rad/s
    range_bandwidth: float = field(repr=False)  # Hz, processed
    range_window: float = field(repr=False)  # Hamming coefficient
    azimuth_bandwidth: float = field(repr=False)  # Hz, processed
    azimuth_window: float = field(repr=False)  # Hamming coefficient
    orbit: Orbit = field(repr=False)
    footprint: tuple[tuple[float, float], ...] = field(repr=False)  # (lon, lat) degrees, ring, closed

    @property
    def wavelength(self) -> float:
        """Carrier wavelength, m."""
        return 299_792_458.0 / self.radar_frequency

    @property
    def azimuth_frequency(self) -> float:
        """Lines per second, Hz: what the azimuth spectrum is sampled at."""
        return 1.0 / self.azimuth_time_interval

    @property
    def start(self) -> float:
        """Zero-Doppler time of line 0 in seconds from the orbit's epoch."""
        return float(self.orbit.seconds(self.azimuth_time))

    @property
    def valid_lines(self) -> tuple[int, int]:
        """First valid line and the one after the last."""
        valid = np.flatnonzero(self.first_valid_sample >= 0)
        return (int(valid[0]), int(valid[-1]) + 1) if valid.size else (0, 0)


@dataclass(frozen=True, eq=False)
class GeolocationGrid:
    """The annotation's own tie points, (point,) each; angles in rad. Truth for the geometry, not an input to it."""

    azimuth_time: NDArray[np.datetime64]
    slant_range_time: NDArray[np.float64]
    line: NDArray[np.int64]  # counts in the swath's measurement, not in a burst
    sample: NDArray[np.int64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    height: NDArray[np.float64]  # m above the ellipsoid
    incidence_angle: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Swath:
    """One annotation: a swath in one polarization, its bursts in time order, and where its samples lie."""

    swath: str
    polarization: str
    annotation: str  # path inside the product
    measurement: str | None  # path inside the product; None where the product carries no samples
    lines: int  # of the measurement: bursts x lines per burst
    samples: int
    bursts: tuple[Burst, ...]
    geolocation_grid: GeolocationGrid


@dataclass(frozen=True, eq=False)
class Product:
    """A Sentinel-1 IW SLC product: where it is and what its annotations say."""

    url: str
    granule: str  # "S1A_IW_SLC__1SDV_20210624T172451_20210624T172518_038485_048A9C_A58F"
    platform: str
    track: int
    absolute_orbit: int
    orbit_pass: str
    processor_version: str  # IPF, "003.40"; "" where not stated
    swaths: tuple[Swath, ...]

    @property
    def bursts(self) -> tuple[Burst, ...]:
        """Every burst of every swath and polarization."""
        return tuple(burst for swath in self.swaths for burst in swath.bursts)

    @property
    def start_time(self) -> np.datetime64:
        """Zero-Doppler time of the product's first line."""
        return min(burst.azimuth_time for burst in self.bursts)


@dataclass(frozen=True)
class Window:
    """A rectangle of whole lines and samples of a burst, stops exclusive."""

    line_start: int
    line_stop: int
    sample_start: int
    sample_stop: int

    @property
    def shape(self) -> tuple[int, int]:
        """(line, sample)."""
        return self.line_stop - self.line_start, self.sample_stop - self.sample_start

    @property
    def size(self) -> int:
        """Number of samples."""
        return self.shape[0] * self.shape[1]

    def grown(self, lines: int, samples: int) -> Window:
        """The same window with a margin on every side; it may leave the burst."""
        return Window(
            self.line_start - lines, self.line_stop + lines, self.sample_start - samples, self.sample_stop + samples
        )

    def clipped(self, burst: Burst) -> Window:
        """The part of the window that lies in the burst; empty windows have size 0."""
        l0, l1 = (min(max(v, 0), burst.lines) for v in (self.line_start, self.line_stop))
        s0, s1 = (min(max(v, 0), burst.samples) for v in (self.sample_start, self.sample_stop))
        return Window(l0, max(l0, l1), s0, max(s0, s1))


@dataclass(frozen=True)
class Pair:
    """Two dates by their position in the stack's list of products, the earlier first."""

    reference: int
    secondary: int


@dataclass(frozen=True)
class ProductionFigure:
    """What a source reports that a mine produced in one year; sources disagree, so each figure keeps its own."""

    year: int
    tonnes: float
    definition: str  # "ore": ore mined; "product": what was sold of it (lump, fines, concentrate, metal)
    source: str
    unit: str = "t"  # in which the source states it: "Mt", "kt"
    commodity: str = ""  # what was counted, where it isn't the mine's own commodity


@dataclass(frozen=True)
class EmissionFactor:
    """Tonnes of CO2 per tonne of ore mined, and whom the source made it for."""

    value: float
    level: str  # "asset", "national", "regional"
    source: str
    year: int | None = None  # None: any year
    uncertainty: float | None = None  # relative standard uncertainty; None: not stated


@dataclass(frozen=True)
class Mine:
    """A mine: its stable lower-case id, its polygon (GeoJSON geometry, lon/lat degrees) and what it digs."""

    id: str
    name: str
    geometry: dict = field(repr=False)
    country: str = ""  # ISO 3166-1 alpha-3
    commodity: str = ""
    status: str = ""  # "operating", "closed", ...; "" where not known
    operator: str = ""
    production: tuple[ProductionFigure, ...] = field(default=(), repr=False)
    emission_factors: tuple[EmissionFactor, ...] = field(default=(), repr=False)
    sites: tuple[tuple[str, dict], ...] = field(default=(), repr=False)  # names and polygons of places to watch
