"""Cloud-optimised GeoTIFFs of single layers, as bytes: what browsers and QGIS open without knowing Zarr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from pipeline.errors import BadInput

BLOCK = 256  # pixels; a mine is a few hundred pixels wide
_ALPHA = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)


def layer_cog(
    layer: NDArray,
    grid: GeoBox,
    *,
    name: str,
    nodata: float | int,
    colours: Mapping[int, tuple[int, int, int, int]] | None = None,
) -> bytes:
    """One layer as a cloud-optimised GeoTIFF.

    Parameters
    ----------
    layer : ndarray, (y, x), float32 or uint8
    grid : GeoBox
    name : str
        Description of the band.
    nodata : float or int
        NaN for floats.
    colours : mapping, optional
        Colour table of a uint8 layer: value to (red, green, blue, alpha). Overviews then take the nearest value.

    Raises
    ------
    BadInput
        The layer isn't on the grid.
    """
    layer = np.asarray(layer)
    if layer.shape != tuple(grid.shape):
        raise BadInput(f"layer {name!r} must have the grid's shape {tuple(grid.shape)}, instead got {layer.shape}")
    return _cog(layer[None], grid, (name,), nodata, colours)


def rgba_cog(image: NDArray[np.uint8], grid: GeoBox, names: Sequence[str]) -> bytes:
    """A picture (y, x, 4) uint8 as a cloud-optimised GeoTIFF with an alpha band; ``names`` are those of its bands."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.shape != (*grid.shape, 4):
        raise BadInput(
            f"a composite must be uint8 of shape {(*grid.shape, 4)}, instead got {image.dtype} of shape {image.shape}"
        )
    return _cog(np.moveaxis(image, 2, 0), grid, tuple(names), None, None)


def _cog(bands, grid, names, nodata, colours) -> bytes:
    """Bands (band, y, x) as the bytes of a COG; one thread, no times: the same bands give the same bytes."""
    count, height, width = bands.shape
    profile = {
        "driver": "GTiff",
        "count": count,
        "height": height,
        "width": width,
        "dtype": bands.dtype,
        "crs": grid.crs.to_wkt(),
        "transform": rasterio.Affine(*tuple(grid.affine)[:6]),
    }
    if nodata is not None:
        profile["nodata"] = nodata
    options = {
        "driver": "COG",
        "compress": "DEFLATE",
        "predictor": "YES",
        "blocksize": BLOCK,
        "num_threads": "1",
        "overview_resampling": "NEAREST" if bands.dtype == np.uint8 else "AVERAGE",
    }
    with MemoryFile() as plain, MemoryFile() as optimised:
        with plain.open(**profile) as target:
            target.write(bands)
            for band, name in enumerate(names, start=1):
                target.set_band_description(band, name)
            if count == 4:
                target.colorinterp = _ALPHA
            if colours:
                target.write_colormap(1, dict(colours))
        rasterio.shutil.copy(plain.name, optimised.name, **options)
        return bytes(optimised.getbuffer())
