"""Pictures that people look at, as PNG bytes: maps, the eight colours one by one, time series and charts.

The same arrays give the same bytes: no date, no version and no global matplotlib state enters them.
"""

from .maps import (
    CLASS_STYLE,
    COLOUR_MAP,
    MISSING,
    THUMBNAIL_SIZE,
    class_picture,
    composite_picture,
    ndai_picture,
    thumbnail,
)

__all__ = [
    "CLASS_STYLE",
    "COLOUR_MAP",
    "MISSING",
    "THUMBNAIL_SIZE",
    "class_picture",
    "composite_picture",
    "ndai_picture",
    "thumbnail",
]
