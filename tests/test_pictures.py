"""Pictures: the same bytes for the same arrays, the right size, the right colours in the right places."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.activity.composite import composite
from pipeline.errors import BadInput
from pipeline.grid import utm_grid
from pipeline.model import Mine
from pipeline.pictures import THUMBNAIL_SIZE, class_picture, composite_picture, ndai_picture, thumbnail
from pipeline.settings import Settings
from pipeline.variables import ACTIVE, INCOHERENT

LON, LAT = 22.9964, -27.7379
RING = [[LON - 0.01, LAT - 0.01], [LON + 0.01, LAT - 0.01], [LON, LAT + 0.01], [LON - 0.01, LAT - 0.01]]
MINE = Mine("sishen", "Sishen", {"type": "Polygon", "coordinates": [RING]})
GRID = utm_grid((LON - 0.01, LAT - 0.01, LON + 0.01, LAT + 0.01), 20.0, 300.0)
SETTINGS = Settings()
YEARS = (2020, 2021, 2022)


@pytest.fixture(scope="module")
def index():
    """Three years: the first active in the west, the second in the east, the third nowhere; a corner is missing."""
    ndai = np.zeros((3, *GRID.shape))
    half = GRID.shape[1] // 2
    ndai[0, :, :half] = 0.5
    ndai[1, :, half:] = 0.5
    ndai[:, :10, :10] = np.nan
    return ndai


def opened(png):
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG"
    assert not picture.info.keys() - {"dpi"}  # no date, no version of anything
    return np.asarray(picture.convert("RGBA"))


def share(picture, colour):
    """Share of the picture's pixels of exactly this colour."""
    return (picture[..., :3] == colour).all(axis=-1).mean()


def every_picture(index):
    classes = np.where(index[0] > 0.1, ACTIVE, INCOHERENT).astype(np.uint8)
    rgba = composite(index)
    return {
        "ndai": ndai_picture(index[0], GRID, MINE, 2020, SETTINGS),
        "composite": composite_picture(rgba, GRID, MINE, YEARS, SETTINGS),
        "classes": class_picture(classes, GRID, MINE, 2020),
        "thumbnail": thumbnail(rgba, SETTINGS),
    }


def test_same_arrays_give_the_same_bytes(index):
    assert every_picture(index) == every_picture(index)


def test_arguments_stay_as_they_are(index):
    ndai, rgba = index[0].copy(), composite(index)
    before = rgba.copy()
    ndai_picture(ndai, GRID, MINE, 2020, SETTINGS)
    composite_picture(rgba, GRID, MINE, YEARS, SETTINGS)
    np.testing.assert_array_equal(ndai, index[0])
    np.testing.assert_array_equal(rgba, before)


def test_composite_shows_its_colours(index):
    picture = opened(composite_picture(composite(index), GRID, MINE, YEARS, SETTINGS))
    middle = picture[picture.shape[0] // 2]
    red, green = (np.flatnonzero((middle[:, :3] == c).all(axis=1)) for c in ([255, 0, 0], [0, 255, 0]))
    assert red.size > 50 and green.size > 50
    assert red.max() < green.min()  # west is red, east is green
    assert share(picture, [0, 255, 255]) > 0.0002  # a colour of the legend that the map doesn't hold


def test_missing_is_grey_and_no_colour_of_the_map(index):
    nowhere = np.full(GRID.shape, np.nan)
    grey = [217, 217, 217]
    assert share(opened(ndai_picture(nowhere, GRID, MINE, 2020, SETTINGS)), grey) > 0.4
    assert (
        share(opened(ndai_picture(np.zeros(GRID.shape), GRID, MINE, 2020, SETTINGS)), grey) < 0.001
    )  # smoothed letters


def test_stretch_is_absolute(index):
    low, high = (opened(ndai_picture(np.full(GRID.shape, v), GRID, MINE, 2020, SETTINGS)) for v in (0.45, 3.0))
    np.testing.assert_array_equal(low, high)


def test_classes_have_their_own_colours():
    one, other = (np.full(GRID.shape, v, np.uint8) for v in (ACTIVE, INCOHERENT))
    active, incoherent = (opened(class_picture(c, GRID, MINE, 2020)) for c in (one, other))
    assert share(active, [250, 191, 46]) > 0.4
    assert share(incoherent, [250, 191, 46]) < 0.01


def test_outline_of_a_multipolygon_with_a_hole():
    hole = [[LON - 0.002, LAT - 0.006], [LON + 0.002, LAT - 0.006], [LON, LAT - 0.002], [LON - 0.002, LAT - 0.006]]
    mine = Mine("a", "", {"type": "MultiPolygon", "coordinates": [[RING, hole]]})
    index = np.zeros(GRID.shape)
    plain, holed = (opened(ndai_picture(index, GRID, m, 2020, SETTINGS)) for m in (Mine("a", "", MINE.geometry), mine))
    assert (plain != holed).any(axis=-1).mean() > 0.001


def test_thumbnail_is_small_plain_and_transparent_where_unknown(index):
    picture = opened(thumbnail(composite(index), SETTINGS))
    assert max(picture.shape[:2]) <= THUMBNAIL_SIZE
    assert picture[0, 0].tolist() == [0, 0, 0, 0]
    assert picture[-1, 0].tolist() == [255, 0, 0, 255] and picture[-1, -1].tolist() == [0, 255, 0, 255]
    single = opened(thumbnail(index[0], SETTINGS))
    assert single[0, 0, 3] == 0 and single[-1, -1, 3] == 255


@pytest.mark.parametrize(
    ("shape", "expected"), [((100, 60), (500, 300)), ((300, 400), (300, 400)), ((2000, 500), (512, 128))]
)
def test_thumbnail_sizes(shape, expected):
    assert opened(thumbnail(np.zeros(shape), SETTINGS)).shape == (*expected, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ndai_picture(np.zeros((3, 3)), GRID, MINE, 2020, SETTINGS), "must have the grid's shape"),
        (lambda: class_picture(np.full(GRID.shape, 9), GRID, MINE, 2020), r"classes must be 0..3, instead got 9"),
        (lambda: composite_picture(np.zeros((*GRID.shape, 4)), GRID, MINE, YEARS[:2], SETTINGS), "needs three years"),
        (lambda: thumbnail(np.zeros((4, 4, 3), np.uint8), SETTINGS), "a thumbnail needs"),
        (lambda: thumbnail(np.zeros((0, 4)), SETTINGS), "a thumbnail needs"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(BadInput, match=message):
        call()
