"""Where the simulated satellite flies and when its bursts start: from "this point, seen so" to `model.Burst` values.

The orbit is found from two conditions at the point: zero Doppler, and the slant range of the wanted sample. The
pass then gets the relative orbit number that puts the burst at a plausible place in ESA's burst numbering, and
every date its own timing, baseline, Doppler centroid and FM rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import fsolve

from ..constants import BURST_BEAM_TIME, BURST_PREAMBLE_TIME, ORBIT_TIME, ORBITS_PER_CYCLE, SPEED_OF_LIGHT
from ..errors import BadInput
from ..model import Burst, RangePolynomial
from .geometry import cartesian
from .orbit import CircularTrajectory, acceleration, annotated_orbit

LINE_INTERVAL = 2.0555563e-3  # s
BURST_PERIOD_LINES = 1342  # a burst of each swath, then the next: 2.7585565 s
RANGE_SAMPLING = 6.434523812571428e7  # Hz
RADAR_FREQUENCY = 5.405000454334350e9  # Hz
CYCLE_PHASE = 0.5  # where in a beam cycle the middle of IW2 falls: far from the edge where the burst id changes


@dataclass(frozen=True)
class SwathFacts:
    """What tells the subswaths apart, as annotated by ESA."""

    start: float  # s after the cycle's IW1 burst
    slant_range_time: float  # s
    samples: int
    lines: int
    valid_lines: tuple[int, int]  # first and last
    valid_samples: tuple[int, int]  # first and last
    steering: float  # degrees/s
    range_bandwidth: float  # Hz
    azimuth_bandwidth: float  # Hz
    azimuth_window: float
    prf: float  # Hz


SWATHS = {
    "IW1": SwathFacts(
        0.0, 5.336535882737799e-3, 22541, 1500, (21, 1481), (1184, 21603), 1.590368784, 56.5e6, 327.0, 0.70, 1717.12897
    ),
    "IW2": SwathFacts(
        0.941445, 5.646333477410679e-3, 26345, 1511, (26, 1485), (1081, 25472), 0.979863325, 48.3e6, 313.0, 0.75,
        1451.62711
    ),
    "IW3": SwathFacts(
        1.895223, 6.017099064654127e-3, 25352, 1516, (29, 1489), (958, 24571), 1.397440818, 42.78991840322842e6, 314.0,
        0.75, 1685.8173,
    ),
}  # fmt: skip
RANGE_WINDOW = 0.75


@dataclass(frozen=True)
class Track:
    """One relative orbit, by a point on the ground and how it is seen.

    Parameters
    ----------
    latitude, longitude, height : float
        The point: degrees, m above the ellipsoid.
    orbit_pass : str
        ``"ascending"`` or ``"descending"``; the radar looks right.
    swath : str
        The subswath whose burst ``burst`` has the point at ``line``, ``sample`` on the nominal orbit.
    bursts : int
        Bursts of every subswath in the product.
    relative_orbit : int, optional
        1…175; by default one at which ESA's burst numbering has the middle of IW2 in mid-cycle.
    """

    latitude: float
    longitude: float
    height: float = 0.0
    orbit_pass: str = "descending"
    swath: str = "IW2"
    line: float = 750.0
    sample: float = 13_000.0
    burst: int = 0
    bursts: int = 1
    relative_orbit: int | None = None

    def __post_init__(self):
        if self.orbit_pass not in ("ascending", "descending"):
            raise BadInput(f"orbit_pass must be ascending or descending, instead got {self.orbit_pass!r}")
        if self.swath not in SWATHS:
            raise BadInput(f"swath must be one of {', '.join(SWATHS)}, instead got {self.swath!r}")
        if not 0 <= self.burst < self.bursts:
            raise BadInput(f"burst must lie in 0…{self.bursts - 1} (bursts = {self.bursts}), instead got {self.burst}")
        if abs(self.latitude) > 75.0:
            raise BadInput(f"latitude must lie within ±75 degrees of the equator, instead got {self.latitude}")
        if self.relative_orbit is not None and not 1 <= self.relative_orbit <= ORBITS_PER_CYCLE:
            raise BadInput(f"relative_orbit must lie in 1…{ORBITS_PER_CYCLE}, instead got {self.relative_orbit}")


@dataclass(frozen=True)
class Date:
    """One acquisition.

    Parameters
    ----------
    day : datetime64[D]
        The time of day follows from the pass: 6 pm local solar time ascending, 6 am descending.
    perpendicular_baseline, parallel_baseline : float
        m from the nominal orbit, across the line of sight to the track's point (positive towards smaller look angles,
        the sign that the field's programs give) and along it (positive towards the point).
    line_shift : float
        The bursts start so many lines later; kept to the annotation's 1 µs, 5e-4 line.
    sample_shift : float
        The first sample lies so many samples farther.
    doppler : float
        Doppler centroid in the middle of the swath, Hz.
    """

    day: np.datetime64
    perpendicular_baseline: float = 0.0
    parallel_baseline: float = 0.0
    line_shift: float = 0.0
    sample_shift: float = 0.0
    doppler: float = -15.0
    platform: str = "S1A"


@dataclass(frozen=True, eq=False)
class Pass:
    """One date's flight: its orbit and the bursts of every subswath, all counted from ``epoch``."""

    date: Date
    epoch: np.datetime64
    trajectory: CircularTrajectory
    track: int
    bursts: dict[str, tuple[Burst, ...]] = field(repr=False)

    @property
    def ascending_node(self) -> np.datetime64:
        """Instant of the ascending node, to the microsecond as annotated."""
        return self.epoch + np.timedelta64(round(self.trajectory.node_time * 1e6), "us").astype("timedelta64[ns]")


def nominal_orbit(track: Track) -> tuple[CircularTrajectory, float]:
    """The orbit that sees the track's point at its sample, passing it at 0 s, and the look angle there (rad)."""
    facts = SWATHS[track.swath]
    distance = 0.5 * SPEED_OF_LIGHT * (facts.slant_range_time + track.sample / RANGE_SAMPLING)
    lat, lon = np.deg2rad(track.latitude), np.deg2rad(track.longitude)
    point = cartesian(lat, lon, track.height)
    base = CircularTrajectory(0.0, 0.0)
    u = np.arcsin(np.clip(np.sin(lat) / np.sin(base.inclination), -1.0, 1.0))
    side = -1.0  # ascending: the satellite passes west of what it sees
    if track.orbit_pass == "descending":
        u, side = np.pi - u, 1.0
    elapsed = np.mod(u, 2.0 * np.pi) / base.mean_motion
    below = base.state(elapsed)[0][0]
    away = side * 0.75 * distance / np.hypot(point[0], point[1])
    node = lon + away - np.arctan2(below[1], below[0])

    def miss(unknown):
        flown = CircularTrajectory(-unknown[0] * 1e3, unknown[1])
        position, velocity = (v[0] for v in flown.state(0.0))
        sight = point - position
        return [sight @ velocity / 1e9, (np.linalg.norm(sight) - distance) / 1e5]

    solution, _, status, message = fsolve(miss, [elapsed / 1e3, node], xtol=1e-13, full_output=True)
    if status != 1 and np.abs(miss(solution)).max() > 1e-9:
        raise BadInput(f"no orbit sees {track.latitude}, {track.longitude} in {track.swath} that way: {message}")
    trajectory = CircularTrajectory(-solution[0] * 1e3, float(np.mod(solution[1], 2.0 * np.pi)))
    position = trajectory.state(0.0)[0][0]
    sight = (point - position) / distance
    return trajectory, float(np.arccos(-sight @ position / np.linalg.norm(position)))


def relative_orbit(track: Track, trajectory: CircularTrajectory) -> int:
    """The track number; by default the one with the middle of IW2 nearest to `CYCLE_PHASE` of its beam cycle."""
    if track.relative_orbit is not None:
        return track.relative_orbit
    facts = SWATHS["IW2"]
    first = -track.line * LINE_INTERVAL - SWATHS[track.swath].start + facts.start
    elapsed = first + 0.5 * facts.lines * LINE_INTERVAL - trajectory.node_time - BURST_PREAMBLE_TIME
    phase = np.mod((elapsed + np.arange(ORBITS_PER_CYCLE) * ORBIT_TIME) / BURST_BEAM_TIME, 1.0)
    return int(np.argmin(np.abs(phase - CYCLE_PHASE))) + 1


def burst_number(track: int, since_node: float, swath: str) -> int:
    """ESA's burst number, from the start of a burst in s after the ascending node (METHODS §9)."""
    facts = SWATHS["IW2"]
    middle = since_node - SWATHS[swath].start + facts.start + 0.5 * facts.lines * LINE_INTERVAL
    return 1 + int(np.floor((middle + (track - 1) * ORBIT_TIME - BURST_PREAMBLE_TIME) / BURST_BEAM_TIME))


def fly(track: Track, date: Date, swaths: tuple[str, ...], polarization: str) -> Pass:
    """One date's orbit and bursts."""
    nominal, look = nominal_orbit(track)
    number = relative_orbit(track, nominal)
    radial = -date.perpendicular_baseline * np.sin(look) - date.parallel_baseline * np.cos(look)
    right = -date.perpendicular_baseline * np.cos(look) + date.parallel_baseline * np.sin(look)
    trajectory = replace(nominal, node_time=round(nominal.node_time, 6), radial=float(radial), cross=-float(right))
    hour = ((18.0 if track.orbit_pass == "ascending" else 6.0) - track.longitude / 15.0) % 24.0
    epoch = np.datetime64(date.day, "ns") + np.timedelta64(round(hour * 3600.0), "s")
    cycle = -(track.line + BURST_PERIOD_LINES * track.burst - date.line_shift) * LINE_INTERVAL
    cycle -= SWATHS[track.swath].start
    bursts = {}
    for swath in swaths:
        first = cycle + SWATHS[swath].start
        starts = [first + k * BURST_PERIOD_LINES * LINE_INTERVAL for k in range(track.bursts)]
        orbit = annotated_orbit(trajectory, epoch, min(starts), max(starts) + 4.0)
        bursts[swath] = tuple(
            _burst(Flight(track, date, number, epoch, trajectory), swath, polarization, k, s, orbit)
            for k, s in enumerate(starts)
        )
    return Pass(date, epoch, trajectory, number, bursts)


@dataclass(frozen=True, eq=False)
class Flight:
    """What the bursts of one pass have in common."""

    track: Track
    date: Date
    number: int
    epoch: np.datetime64
    trajectory: CircularTrajectory


def _burst(flight: Flight, swath: str, polarization: str, index: int, start: float, orbit) -> Burst:
    """One burst's values as its annotation will print them: start times to 1 µs, polynomials to 16 digits."""
    facts, date = SWATHS[swath], flight.date
    start = round(start, 6)
    near = facts.slant_range_time + date.sample_shift / RANGE_SAMPLING
    middle = start + 0.5 * (facts.lines - 1) * LINE_INTERVAL
    instant = orbit.instant(round(middle, 6))
    valid = np.zeros(facts.lines, bool)
    valid[facts.valid_lines[0] : facts.valid_lines[1] + 1] = True
    number = burst_number(flight.number, start - flight.trajectory.node_time, swath)
    return Burst(
        burst_id=f"t{flight.number:03d}_{number:06d}_{swath.lower()}",
        index=index,
        platform=date.platform,
        swath=swath,
        polarization=polarization,
        track=flight.number,
        orbit_pass=flight.track.orbit_pass,
        azimuth_time=orbit.instant(start),
        azimuth_time_interval=LINE_INTERVAL,
        slant_range_time=near,
        range_sampling_rate=RANGE_SAMPLING,
        radar_frequency=RADAR_FREQUENCY,
        lines=facts.lines,
        samples=facts.samples,
        first_valid_sample=np.where(valid, facts.valid_samples[0], -1).astype(np.int64),
        last_valid_sample=np.where(valid, facts.valid_samples[1], -1).astype(np.int64),
        doppler_centroid=_doppler(date.doppler, facts, instant),
        azimuth_fm_rate=fm_rate(flight.trajectory, middle, near, facts.samples / RANGE_SAMPLING, instant),
        steering_rate=float(np.deg2rad(facts.steering)),
        range_bandwidth=facts.range_bandwidth,
        range_window=RANGE_WINDOW,
        azimuth_bandwidth=facts.azimuth_bandwidth,
        azimuth_window=facts.azimuth_window,
        orbit=orbit,
        footprint=(),
    )


def _doppler(middle: float, facts: SwathFacts, instant: np.datetime64) -> RangePolynomial:
    """A Doppler centroid of ``middle`` Hz at mid-swath that varies by a few Hz over the swath, about its own origin."""
    origin = 5.354943283284461e-3  # the mode's, not the subswath's: as ESA writes it
    slope, bend = 1.2e4, -6.0e6
    x = facts.slant_range_time + 0.5 * facts.samples / RANGE_SAMPLING - origin
    return RangePolynomial(instant, origin, (float(f"{middle - slope * x - bend * x * x:.6e}"), slope, bend))


def fm_rate(trajectory, middle: float, near: float, width: float, instant: np.datetime64) -> RangePolynomial:
    """Azimuth FM rate -2/λ·d²R/dt² of ground points on the ellipsoid at zero Doppler, a parabola in range."""
    position, velocity = (v[0] for v in trajectory.state(np.array([middle])))
    tau = near + width * np.linspace(0.0, 1.0, 9)
    distance = 0.5 * SPEED_OF_LIGHT * tau
    points = _on_sphere(position, velocity, distance)
    bend = (velocity @ velocity - (points - position) @ acceleration(trajectory, middle)) / distance
    rate = -2.0 * RADAR_FREQUENCY / SPEED_OF_LIGHT * bend
    scale = 0.5 * width
    fit = np.polynomial.polynomial.polyfit((tau - near) / scale, rate, 2) / scale ** np.arange(3)
    return RangePolynomial(instant, near, tuple(float(f"{c:.15e}") for c in fit))


def _on_sphere(position, velocity, distance, radius: float = 6_371_000.0):
    """Points (range, 3) at ``distance`` to the right, at zero Doppler, on a sphere: good to 1e-3 of k_a."""
    forward = velocity / np.linalg.norm(velocity)
    up = position - (position @ forward) * forward
    up /= np.linalg.norm(up)
    right = np.cross(forward, up)
    cos = (distance**2 + position @ position - radius**2) / (2.0 * distance * (position @ up))
    sin = np.sqrt(1.0 - cos**2)
    return position + distance[:, None] * (sin[:, None] * right - cos[:, None] * up)
