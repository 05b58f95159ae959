"""Sentinel-1 IW SLC products in whichever form they are delivered.

    SAFE folder or zip     `safe`   the agency's product
    bursts by ASF          `asf`    a folder of single bursts cut out of one, a TIFF and an XML each

What comes out is the same for all: a `Product`, whose bursts have the same ids, times and geometry whatever the form.
Its samples are read by `measurement`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from ..model import Product
from ..storage import open_store
from . import asf, safe


class Reader(Protocol):
    """What a form of products needs, to be one that everything else can work with; a module each."""

    def open_product(
        self,
        url: str,
        polarization: str | None = None,
        storage_options: dict | None = None,
        swaths: Collection[str] | None = None,
    ) -> Product:
        """What a product says of itself, without its samples.

        A `Swath` for every measurement: several, where the bursts of a swath lie in files of their own. Of each burst
        ``index`` is its place in the whole granule's swath, and ``Swath.measurement`` the path in the product at which
        `measurement.open_measurement` finds a TIFF of just the swath's bursts, one below the other.

        Parameters
        ----------
        url : str
            A path, or any URL that fsspec knows.
        polarization : {"VV", "VH", "HH", "HV"}, optional
            Only this one's annotations are read. Default: all.
        storage_options : dict, optional
            For the file system.
        swaths : collection of str, optional
            Only these swaths' annotations are read, such as ``{"IW2"}``. Default: all.

        Raises
        ------
        BadProduct
            Not an IW SLC product, no annotation, no such polarization, unreadable or hostile content.
        BadInput
            The polarization is none that Sentinel-1 has.
        Unavailable
            The URL can't be read.
        """
        ...


def reader_of(url: str, storage_options: dict | None = None) -> Reader:
    """The reader for what lies at a URL; for what is no product it is that of SAFE, which says what is wrong."""
    return asf if asf.recognises(open_store(url, **(storage_options or {}))) else safe


def open_product(
    url: str,
    polarization: str | None = None,
    storage_options: dict | None = None,
    swaths: Collection[str] | None = None,
) -> Product:
    """What the product at a URL says of itself, whatever its form; see `Reader.open_product`."""
    return reader_of(url, storage_options).open_product(url, polarization, storage_options, swaths)
