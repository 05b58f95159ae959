"""Checks that several subcommands share."""

from ..errors import BadInput

WIDEST = 5.0  # degrees: more than a product covers, and a map that memory still holds


def check_point(latitude: float, longitude: float) -> None:
    """Refuse what can't be a latitude and a longitude in degrees."""
    if not (-90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 360.0):
        raise BadInput(
            f"a point must be LAT,LON in degrees (-90..90, -180..180), instead got {latitude:g},{longitude:g}; "
            f"are they swapped?"
        )


def check_bbox(bbox: tuple[float, float, float, float]) -> None:
    """Refuse what can't be W, S, E, N in degrees."""
    west, south, east, north = bbox
    check_point(south, west)
    check_point(north, east)
    if not south < north:
        raise BadInput(f"--bbox must be W,S,E,N with S < N, instead got S {south:g} and N {north:g}")
    width = (east - west) % 360.0  # W > E is right across 180 degrees only
    if not (0.0 < width <= WIDEST and north - south <= WIDEST):
        raise BadInput(
            f"--bbox must be W,S,E,N with W < E and sides of at most {WIDEST:g} degrees, instead got {width:g} "
            f"degrees from W {west:g} to E {east:g} and {north - south:g} from S to N"
        )
