"""One table of every variable of the published cube, and the rules that follow from it.

A cube holds the pairs of one mine and one year on the mine's grid. Dimensions are ``pair``, ``y`` and ``x``, in
that order.

Two rules keep readers from guessing. A float is NaN where missing, and both the Zarr ``fill_value`` and CF's
``_FillValue`` say so: with one of them alone GDAL reads missing as 0. A class or a mask stays an integer: it carries
``nodata`` but no ``_FillValue``, which would make xarray turn it into float32. There are no strings in the arrays:
Zarr 3 has no settled string type and GDAL 3.12 refuses the one that is written, so a reason is a code with
``flag_meanings``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput

TARGET_CHUNK = 4_000_000  # bytes before compression: few requests for a map, few wasted bytes for one pair
LARGEST_CHUNK = 10_000_000  # bytes; above it y is cut too

NO_DATA, INACTIVE, ACTIVE, INCOHERENT = range(4)  # values of ``activity``
LAYOVER, SHADOW = 1, 2  # bits of ``layover_shadow``

# Why a pair does not count in the annual means; the position is the stored code.
REASONS = (
    "accepted",
    "low_stable_mean",
    "high_stable_std",
    "low_stable_mean_and_high_stable_std",
    "no_stable_data",
    "large_perpendicular_baseline",
    "no_coverage",
)


@dataclass(frozen=True)
class Variable:
    """What the cube promises of one variable.

    ``keep_bits`` is the number of mantissa bits of a float32 that survive: 7 leave an error of at most 0.002 below 1;
    heights need 16 to keep a tenth of a metre. ``limits`` is the closed range of valid values. ``flags`` name the
    values of a class (or, with ``bits``, its bits).
    """

    name: str
    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str | None = None
    fill: float | int | None = None
    standard_name: str | None = None
    keep_bits: int | None = None
    limits: tuple[float, float] | None = None
    flags: tuple[tuple[int, str], ...] = ()
    bits: bool = False

    @property
    def is_float(self) -> bool:
        """True for float variables, which are NaN where missing."""
        return np.dtype(self.dtype).kind == "f"

    @property
    def attributes(self) -> dict:
        """CF attributes, without ``_FillValue``, which is an encoding, and without ``grid_mapping``."""
        attributes: dict = {"long_name": self.long_name}
        if self.standard_name:
            attributes["standard_name"] = self.standard_name
        if self.units is not None:
            attributes["units"] = self.units
        if self.flags:
            kind = "flag_masks" if self.bits else "flag_values"
            attributes[kind] = [value for value, _ in self.flags]
            attributes["flag_meanings"] = " ".join(meaning for _, meaning in self.flags)
        if self.limits is not None and not self.flags:
            attributes["valid_range"] = list(self.limits)
        if self.fill is not None and not self.is_float:
            attributes["nodata"] = self.fill
        return attributes


_NAN = float("nan")
_MAP = ("y", "x")
_PAIR = ("pair",)
_YES_NO = ((0, "no"), (1, "yes"))
_CLASSES = ((NO_DATA, "no_data"), (INACTIVE, "inactive"), (ACTIVE, "active"), (INCOHERENT, "permanently_incoherent"))
_VISIBILITY = ((LAYOVER, "layover"), (SHADOW, "shadow"))


def _map(name: str, long_name: str, **rest) -> Variable:
    """A float32 layer of the map."""
    return Variable(name, _MAP, "float32", long_name, **{"units": "1", "fill": _NAN, "keep_bits": 10, **rest})


def _mask(name: str, long_name: str, flags, **rest) -> Variable:
    """A uint8 layer of the map; 255 where nothing is known."""
    return Variable(name, _MAP, "uint8", long_name, **{"fill": 255, "flags": flags, **rest})


def _per_pair(name: str, long_name: str, units: str, dtype: str = "float64", **rest) -> Variable:
    """A number for every pair."""
    return Variable(name, _PAIR, dtype, long_name, units=units, fill=_NAN, **rest)


_TABLE = (
    Variable(
        "coherence",
        ("pair", "y", "x"),
        "float32",
        "interferometric coherence of the pair",
        units="1",
        fill=_NAN,
        keep_bits=7,
        limits=(0.0, 1.0),
    ),
    _map("ndai", "annual mean of the normalised difference activity index", limits=(-1.0, 1.0)),
    _map("ndai_debiased", "activity index of the annual mean coherences with their bias removed", limits=(-1.0, 1.0)),
    _map("ndai_std", "standard deviation of the activity index over the accepted pairs", limits=(0.0, 2.0)),
    Variable("ndai_count", _MAP, "uint16", "number of accepted pairs with a value", units="1", fill=0),
    _mask("activity", "activity class of the year", _CLASSES, fill=NO_DATA),
    _map(
        "activity_score",
        "normal score of the year's coherence on ground as coherent as the stable points; low where it was worked",
        limits=(-40.0, 5.0),
    ),
    _mask("stable_point", "pixel that the index is normalised with", _YES_NO),
    _map("coherence_mean", "mean coherence of the accepted pairs", limits=(0.0, 1.0)),
    _map(
        "incidence_angle",
        "angle between the line of sight and the ellipsoid's normal",
        units="rad",
        standard_name="angle_of_incidence",
        keep_bits=14,
        limits=(0.0, math.pi / 2),
    ),
    _map(
        "height",
        "height of the elevation model above the WGS84 ellipsoid",
        units="m",
        standard_name="height_above_reference_ellipsoid",
        keep_bits=16,
    ),
    _mask("layover_shadow", "layover and radar shadow", _VISIBILITY, bits=True),
    _mask("mine", "pixel whose centre is inside the mine polygon", _YES_NO),
    _per_pair("temporal_baseline", "days from the reference to the secondary date", "d"),
    _per_pair("perpendicular_baseline", "perpendicular baseline, secondary minus reference", "m"),
    _per_pair("stable_mean", "mean coherence of the stable points", "1", limits=(0.0, 1.0)),
    _per_pair("stable_std", "standard deviation of coherence over the stable points", "1", limits=(0.0, 1.0)),
    _per_pair("stable_reference", "coherence that the activity index is normalised with", "1", limits=(0.0, 1.0)),
    Variable("accepted", _PAIR, "bool", "pair counts in the annual means"),
    Variable("reason", _PAIR, "uint8", "why the pair was not accepted", fill=255, flags=tuple(enumerate(REASONS))),
    Variable("reference_time", _PAIR, "datetime64[ns]", "zero-Doppler time of the reference date"),
    Variable("secondary_time", _PAIR, "datetime64[ns]", "zero-Doppler time of the secondary date"),
    Variable("pair", _PAIR, "int32", "pair, counted in the order of its dates"),
    Variable("y", ("y",), "float64", "northing of the pixel's centre", "m", standard_name="projection_y_coordinate"),
    Variable("x", ("x",), "float64", "easting of the pixel's centre", "m", standard_name="projection_x_coordinate"),
    Variable("spatial_ref", (), "int32", "coordinate reference system"),
)

VARIABLES: dict[str, Variable] = {variable.name: variable for variable in _TABLE}
COORDINATES = ("pair", "reference_time", "secondary_time", "y", "x", "spatial_ref")
DATA_VARIABLES = tuple(name for name in VARIABLES if name not in COORDINATES)


def chunk_shape(dims: tuple[str, ...], shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Chunks that read well: y and x whole, as many pairs as make about 4 MB, at most 10 MB.

    Parameters
    ----------
    dims, shape : names and lengths of the dimensions; any names, the last two are taken as the image.
    itemsize : bytes a value.

    Returns
    -------
    tuple of int
        One length a dimension. Only an image above 10 MB is cut, along its first axis, into equal parts.
    """
    if not shape:
        return ()
    image = shape[-2:] if len(dims) > 1 else shape[-1:]
    image_bytes = itemsize * math.prod(image)
    if image_bytes > LARGEST_CHUNK:
        parts = math.ceil(image_bytes / LARGEST_CHUNK)
        image = (math.ceil(image[0] / parts), *image[1:])
    stack = shape[: len(shape) - len(image)]
    if not stack:
        return tuple(max(1, length) for length in image)
    layers = max(1, min(stack[-1], TARGET_CHUNK // max(1, itemsize * math.prod(image))))
    return (*(1 for _ in stack[:-1]), layers, *(max(1, length) for length in image))


def reason_codes(reasons: Iterable[str]) -> NDArray[np.uint8]:
    """Codes of ``reason`` for words of `REASONS`; an empty word is ``accepted``.

    Raises
    ------
    BadInput
        For a word that the table doesn't know.
    """
    codes = []
    for reason in reasons:
        word = reason or REASONS[0]
        if word not in REASONS:
            raise BadInput(f"reason must be one of {', '.join(REASONS)}, instead got {reason!r}")
        codes.append(REASONS.index(word))
    return np.array(codes, np.uint8)


def reason_words(codes: Iterable[int]) -> tuple[str, ...]:
    """The inverse of `reason_codes`."""
    return tuple(REASONS[int(code)] for code in codes)
