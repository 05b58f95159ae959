"""Pictures: the same bytes for the same arrays, the right colours in the right places, words that don't overlap."""

import dataclasses
import io
import itertools
import json
import zlib

import matplotlib
import numpy as np
import pytest
import shapely.geometry
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from PIL import Image
from pyproj import Transformer

from pipeline.activity.classify import class_code
from pipeline.activity.composite import colour_years, composite
from pipeline.commands.pictures import PicturesRequest, beside, draw, pictures
from pipeline.cube import grid_of, write_map
from pipeline.errors import BadInput
from pipeline.grid import inside, utm_grid
from pipeline.model import Mine, ProductionFigure
from pipeline.pictures import COLOUR_MAP, THUMBNAIL_SIZE, class_picture, composite_picture, ndai_picture, thumbnail
from pipeline.pictures.album import Album, mine_of, places
from pipeline.pictures.charts import BAR, YearArea, YearProduction, activity_chart
from pipeline.pictures.codes import code_picture, code_sheet, count_colours
from pipeline.pictures.drawing import encode_png
from pipeline.pictures.maps import EDGE, TITLE
from pipeline.pictures.series import Pairs, days, joined, month_ticks, series_picture
from pipeline.settings import Settings
from pipeline.variables import ACTIVE, INACTIVE, INCOHERENT, NO_DATA

from .product_example import example_cube

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


def a_series(count=30, rejected=(), start="2021-01-05"):
    """Pairs of 12 days, one after the other; ``rejected``: (position, reason); and a site that is active from 10 on."""
    reference = np.datetime64(start, "ns") + np.arange(count) * np.timedelta64(12, "D")
    mean, reason = np.full(count, 0.9), ["accepted"] * count
    for k, word in rejected:
        reason[k], mean[k] = word, np.nan if word == "no_coverage" else 0.5
    accepted = np.array([word == "accepted" for word in reason])
    pairs = Pairs(reference, reference + np.timedelta64(12, "D"), mean, np.full(count, 0.05), accepted, reason)
    level = np.where(np.arange(count) < 10, 0.88, 0.35)
    return pairs, (level, (0.9 - level) / (0.9 + level))


def a_chart():
    """Three years as Climate TRACE prints them for Sishen (pixels of 100 m2), production and disagreeing reports."""
    pixels = {1: 48_398, 2: 40_088, 4: 47_177, 6: 28_779, 5: 9_509, 3: 23_097, 7: 24_927}
    areas = []
    for bit, year in enumerate(YEARS):
        own = {code: 100.0 * n for code, n in pixels.items() if code >> bit & 1}
        total = sum(own.values())
        areas.append(YearArea(year, total, 0.9 * total, 1.08 * total, int(total / 100), own))
    production = [YearProduction(year, 36e6, 20e6, 60e6) for year in YEARS]
    reported = [
        ProductionFigure(2022, 27.0e6, "product", "Global Energy Monitor"),
        ProductionFigure(2022, 35.0e6, "ore", "Climate TRACE 2023"),
        ProductionFigure(2021, 37.9e6, "ore", "Climate TRACE 2023"),
        ProductionFigure(2013, 1e6, "ore", "an old report"),
    ]
    return ("Sishen", "area and production"), areas, production, reported, colour_years(YEARS)


def every_picture(index):
    classes = np.where(index[0] > 0.1, ACTIVE, INCOHERENT).astype(np.uint8)
    rgba = composite(index)
    code = class_code([np.where(year > 0.1, ACTIVE, INACTIVE) for year in index], "oldest-red")
    pairs, site = a_series(rejected=[(12, "low_stable_mean")])
    colour = count_colours(code, GRID, MINE, YEARS, "oldest-red")[1]
    return {
        "sheet": code_sheet(code, GRID, MINE, YEARS),
        "red": code_picture(code, GRID, MINE, colour),
        "series": series_picture(("a", "b"), pairs, {"pit": site}),
        "chart": activity_chart(*a_chart()),
        "ndai": ndai_picture(index[0], GRID, MINE, 2020, SETTINGS),
        "composite": composite_picture(rgba, GRID, MINE, YEARS, SETTINGS),
        "classes": class_picture(classes, GRID, MINE, 2020),
        "thumbnail": thumbnail(rgba, SETTINGS),
    }


def test_same_arrays_give_the_same_bytes_whatever_style_is_set_around(index):
    plain = every_picture(index)
    style = {"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9, "text.color": "blue", "figure.dpi": 30}
    with matplotlib.rc_context(style):
        assert every_picture(index) == plain
        assert matplotlib.rcParams["font.size"] == 30  # and the style around is left as it was


@pytest.mark.parametrize("channels", [3, 4])
def test_the_encoder_keeps_every_pixel(channels):
    image = np.random.default_rng(5).integers(0, 256, (37, 23, channels), np.uint8)
    png = encode_png(image)
    picture = Image.open(io.BytesIO(png))
    assert (picture.mode, picture.info["dpi"][0]) == (
        "RGB" if channels == 3 else "RGBA",
        pytest.approx(120, abs=0.02),
    )  # px an inch
    np.testing.assert_array_equal(np.asarray(picture), image)
    assert len(png) < 1.05 * image.nbytes + 100  # noise can't be packed, but must not grow


def test_the_encoder_packs_repeated_rows():
    image = np.repeat(np.random.default_rng(5).integers(0, 256, (50, 200, 3), np.uint8), 4, axis=0)
    assert len(encode_png(image)) < 1.1 * len(zlib.compress(image[::4].tobytes()))


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


# --- maps ------------------------------------------------------------------------------------------------------------


def square(columns, rows, name="A mine", south=True):
    """A grid in metres of so many pixels, and a mine that leaves a margin of two pixels (one, where there is less)."""
    left, bottom = (696_000, 6_928_000) if south else (521_000, 4_674_000)
    code = "EPSG:32734" if south else "EPSG:32652"
    grid = GeoBox.from_bbox(
        BoundingBox(left, bottom, left + 20 * columns, bottom + 20 * rows, crs=code), resolution=20, tight=True
    )
    edge = 40 if min(columns, rows) > 5 else 20
    outline = shapely.geometry.box(left + edge, bottom + edge, left + 20 * columns - edge, bottom + 20 * rows - edge)
    degrees = Transformer.from_crs(code, 4326, always_xy=True)
    outline = shapely.transform(outline, degrees.transform, interleaved=False)
    return grid, Mine("m", name, shapely.geometry.mapping(outline))


def boxes(figure):
    """(words, bounding box in px) of every text that is seen."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    axes = [axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)]
    # matplotlib keeps ticks beyond the limits and doesn't draw them
    unseen = {
        id(tick.label1)
        for axis in axes
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    seen = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in unseen]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in seen]


def assert_legible(figure):
    """No text leaves the sheet or overlaps another by more than a pixel; none is too small at 900 px width."""
    width, height = figure.get_size_inches() * figure.dpi
    found = boxes(figure)
    assert found
    for words, box in found:
        assert box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1, words
    for (one, a), (other, b) in itertools.combinations(found, 2):
        apart = a.x1 < b.x0 + 1 or b.x1 < a.x0 + 1 or a.y1 < b.y0 + 1 or b.y1 < a.y0 + 1
        assert apart, (one, other)
    smallest = min(t.get_fontsize() for t in figure.findobj(Text) if t.get_text().strip())
    assert smallest * figure.dpi / 72 * min(900 / width, 1) > 10.5  # px


SHAPES = {"tiny": (5, 4), "square": (200, 190), "wide": (600, 40), "tall": (30, 500), "large": (1300, 900)}
LONG = "A mine with a rather long name, North Extension and Satellite Pits of the Old Concession"


@pytest.mark.parametrize("shape", SHAPES)
def test_words_of_maps_do_not_overlap(shape):
    columns, rows = SHAPES[shape]
    grid, mine = square(columns, rows, LONG, south=shape != "square")
    index = np.zeros((rows, columns))
    assert_legible(ndai_picture.__wrapped__(index, grid, mine, 2020, SETTINGS))
    assert_legible(class_picture.__wrapped__(index.astype(np.uint8), grid, mine, 2020))
    rgba = np.zeros((rows, columns, 4), np.uint8)
    assert_legible(composite_picture.__wrapped__(rgba, grid, mine, YEARS, SETTINGS))
    code = index.astype(np.uint8)
    assert_legible(code_sheet.__wrapped__(code, grid, mine, YEARS))
    for colour in count_colours(code, grid, mine, YEARS, "oldest-red")[::7]:
        assert_legible(code_picture.__wrapped__(code, grid, mine, colour))


def test_pixels_are_whole_and_all_of_one_size():
    grid, mine = square(200, 190)
    classes = (np.indices(grid.shape).sum(axis=0) % 2 + 1).astype(np.uint8)  # a chessboard
    picture = opened(class_picture(classes, grid, mine, 2020))[..., :3]
    assert 800 // 200 == 4  # screen pixels a side
    tile = picture[TITLE : TITLE + 190 * 4, EDGE : EDGE + 200 * 4].reshape(190, 4, 200, 4, 3)
    assert (tile[0] == tile[0, :1, :, :1]).all()  # the first row lies above the outline
    np.testing.assert_array_equal(tile[0, 0, :, 0, 0] == 250, classes[0] == ACTIVE)
    frame = picture[TITLE - 1, EDGE : EDGE + 800], picture[TITLE : TITLE + 760, EDGE + 800]
    assert all((line == 0).all() for line in frame)  # a line of one pixel around, on none of the map's


def test_a_large_map_is_reduced_by_averaging():
    grid, mine = square(1600, 1000)
    index = np.zeros(grid.shape)
    index[::2] = 1.0  # every other row: shown as the mean of both colours
    picture = opened(ndai_picture(index, grid, mine, 2020, SETTINGS))
    middle = picture[TITLE + 100 : TITLE + 110, EDGE + 100 : EDGE + 110, :3].astype(float)
    ends = (np.array(COLOUR_MAP(v, bytes=True)[:3], float) for v in (0.0, 1.0))
    np.testing.assert_allclose(middle, np.broadcast_to(sum(ends) / 2, middle.shape), atol=1.0)  # of 255


@pytest.mark.parametrize(("columns", "expected"), [(7, "20 m"), (30, "100 m"), (600, "2 km"), (3000, "10 km")])
def test_scale_bar_is_as_long_as_it_says(columns, expected):
    grid, mine = square(columns, max(columns // 10, 5))
    figure = ndai_picture.__wrapped__(np.zeros(grid.shape), grid, mine, 2020, SETTINGS)
    words = [words for words, _ in boxes(figure)]
    assert expected in words
    number, unit = expected.split()
    metres = float(number) * (1000 if unit == "km" else 1)
    white = [
        r.get_width() for r in figure.findobj(Rectangle) if r.get_height() == 8 and r.get_facecolor() == (1, 1, 1, 1)
    ]
    shown = (800 // columns if columns <= 800 else 800 / columns) / 20  # px a metre
    assert white == [pytest.approx(metres * shown + 1, abs=0.01)]  # px


# --- the eight colours -----------------------------------------------------------------------------------------------


def test_code_of_classes_follows_the_order_and_keeps_the_unknown_apart():
    a, i, n, w = ACTIVE, INACTIVE, NO_DATA, INCOHERENT
    classes = np.array([[[a, i, a, n, w, w]], [[i, i, a, a, a, w]], [[i, a, a, a, i, w]]], np.uint8)
    assert class_code(classes, "oldest-red").tolist() == [[1, 4, 7, 255, 2, 255]]
    assert class_code(classes, "newest-red").tolist() == [[4, 1, 7, 255, 2, 255]]


def test_colours_are_counted_in_the_mine_alone():
    grid, mine = square(40, 30)
    code = np.full(grid.shape, 255, np.uint8)
    code[:, :20], code[:, 20:30] = 1, 6
    colours = count_colours(code, grid, mine, YEARS, "oldest-red")
    assert [(c.name, c.pixels) for c in colours if c.pixels] == [("red", 18 * 26), ("cyan", 10 * 26)]
    assert colours[6].years == (2021, 2022)
    # EPSG:32734 there: 210 km east of the central meridian's false easting, scale 1.0001
    assert colours[1].area == pytest.approx(18 * 26 * 400, rel=2e-4)
    assert [c.years for c in count_colours(code, grid, mine, YEARS, "newest-red")][1] == (2022,)


def test_each_panel_shows_its_own_colour_and_no_other():
    grid, mine = square(64, 60)
    code = (np.arange(64)[None] // 8 * np.ones((60, 1))).astype(np.uint8)  # eight columns of eight pixels
    for colour in count_colours(code, grid, mine, YEARS, "oldest-red"):
        picture = opened(code_picture(code, grid, mine, colour))[..., :3]
        scale = 800 // 64
        row = picture[TITLE + 30 * scale, EDGE + scale // 2 : EDGE + 64 * scale : scale]  # middles of a row's pixels
        own = np.array([255 * (colour.code >> bit & 1) for bit in range(3)])
        inner = np.arange(3, 61)  # the outline runs through pixel 2 and 61
        np.testing.assert_array_equal((row[inner] == own).all(axis=1), code[30, inner] == colour.code)
        luminance = row[inner].astype(float) @ [0.2126, 0.7152, 0.0722]
        ground = luminance[code[30, inner] != colour.code]
        assert np.abs(ground - own @ [0.2126, 0.7152, 0.0722]).min() > 100  # of 255: told apart without hue


def test_the_sheet_has_eight_panels_with_counts_and_years():
    grid, mine = square(64, 60)
    code = (np.arange(64)[None] // 8 * np.ones((60, 1))).astype(np.uint8)
    words = [words for words, _ in boxes(code_sheet.__wrapped__(code, grid, mine, YEARS))]
    names = ["black", "red", "green", "blue", "yellow", "magenta", "cyan", "white"]
    assert [w for w in words if w in names] == names
    assert {"none of the years", "2020", "2020 and 2021", "all three years"} <= set(words)
    assert words.count("448 pixels, 0.18 km²") == 6 and words.count("336 pixels, 0.13 km²") == 2


def test_no_data_and_relief_of_a_panel():
    grid, mine = square(64, 60)
    code = np.zeros(grid.shape, np.uint8)
    code[20:40, 20:40] = 255
    red = count_colours(code, grid, mine, YEARS, "oldest-red")[1]
    flat = opened(code_picture(code, grid, mine, red))[..., :3]
    assert share(flat, [153, 153, 153]) > 0.03
    height = np.add.outer(np.arange(60.0), np.zeros(64)) * 8.0  # rises to the south: faces the light
    hills = opened(code_picture(code, grid, mine, red, height))[..., :3]
    at = TITLE + 12 * 10, EDGE + 12 * 10
    assert hills[at].mean() > flat[at].mean() + 5
    assert opened(code_picture(code, grid, mine, red, -height))[at][:3].mean() < flat[at].mean() - 5
    unknown = np.full(grid.shape, np.nan)
    np.testing.assert_array_equal(opened(code_picture(code, grid, mine, red, unknown))[..., :3], flat)


# --- series ----------------------------------------------------------------------------------------------------------


def lines(axes, label):
    """Finite (x, y) of the line with a label."""
    (found,) = (line for line in axes.get_lines() if line.get_label() == label)
    x, y = (np.asarray(v, float) for v in found.get_data())
    return x[np.isfinite(y)], y[np.isfinite(y)]


def test_accepted_pairs_are_filled_and_rejected_ones_open_by_reason():
    rejected = [(3, "low_stable_mean"), (4, "low_stable_mean"), (20, "high_stable_std"), (21, "no_coverage")]
    pairs, site = a_series(30, rejected)
    figure = series_picture.__wrapped__(("t", "s"), pairs, {"pit": site})
    upper, lower = figure.axes
    out = [3, 4, 20, 21]
    stay = np.setdiff1d(np.arange(30), out)
    np.testing.assert_array_equal(lines(lower, "pit")[0], days(pairs.secondary_time[stay]))
    np.testing.assert_allclose(lines(lower, "pit")[1], site[1][stay], atol=1e-12)  # index
    np.testing.assert_allclose(lines(upper, "pit, rejected")[1], site[0][out], atol=1e-12)  # coherence
    (opened_,) = (line for line in upper.get_lines() if line.get_label() == "pit, rejected")
    assert opened_.get_markerfacecolor() == "white" and opened_.get_linestyle() == "None"
    assert lines(upper, "low_stable_mean")[0].tolist() == days(pairs.secondary_time[[3, 4]]).tolist()
    assert lines(upper, "no_coverage")[1].tolist() == [0.0]  # its mean isn't known: it stands on the axis
    words = [words.replace("\n", " ") for words, _ in boxes(figure)]
    assert {"rejected: low stable mean (2)", "rejected: high stable std (1)", "rejected: no coverage (1)"} <= set(words)


def test_gaps_are_not_bridged():
    pairs, site = a_series(30, [(5, "low_stable_mean")])
    keep = np.setdiff1d(np.arange(30), [15, 16])  # missing altogether
    values = (np.asarray(v)[keep] for v in (getattr(pairs, field.name) for field in dataclasses.fields(pairs)))
    pairs = Pairs(*values)
    runs = [run.tolist() for run in joined(pairs)]
    assert runs == [list(range(5)), list(range(6, 15)), list(range(15, 28))]
    figure = series_picture.__wrapped__(("t", "s"), pairs, {"pit": tuple(v[keep] for v in site)})
    (line,) = (line for line in figure.axes[1].get_lines() if line.get_label() == "pit")
    assert np.isnan(line.get_ydata()).sum() == 3  # one after each run
    assert len(figure.axes[0].collections) == 3  # bands of the stable points


def test_overlapping_pairs_are_one_run():
    start = np.datetime64("2021-01-01", "ns") + np.arange(6) * np.timedelta64(6, "D")
    ones = np.ones(6)
    assert (
        len(joined(Pairs(start, start + np.timedelta64(12, "D"), ones, ones, ones.astype(bool), ["accepted"] * 6))) == 1
    )


def test_years_spans_and_alerts_are_marked():
    pairs, site = a_series(60)
    start, stop = pairs.reference_time[10], pairs.secondary_time[10]
    alert = ("pit", pairs.secondary_time[11], site[1][11])
    figure = series_picture.__wrapped__(("t", "s"), pairs, {"pit": site}, [("pit", start, stop, "onset")], [alert])
    lower = figure.axes[1]
    upright = [line.get_xdata()[0] for line in lower.get_lines() if len(set(line.get_xdata())) == 1]
    assert float(days(np.datetime64("2022-01-01"))) in upright
    spans = [(p.get_x(), p.get_width()) for p in lower.patches if isinstance(p, Rectangle)]
    assert (float(days(start)), pytest.approx(12.0, abs=1e-6)) in spans  # days
    assert lines(lower, "alert")[0].tolist() == [float(days(pairs.secondary_time[11]))]
    assert "onset" in [words for words, _ in boxes(figure)]


def test_spans_at_one_time_share_the_height():
    pairs, site = a_series(30)
    spans = [
        (name, pairs.reference_time[k], pairs.secondary_time[k + 1], "onset")
        for name, k in zip("abc", (5, 6, 20), strict=True)
    ]
    figure = series_picture.__wrapped__(("t", "s"), pairs, dict.fromkeys("abc", site), spans)
    heights = sorted(round(p.get_height(), 6) for p in figure.axes[1].patches)
    assert heights == [0.5, 0.5, 1.0]


@pytest.mark.parametrize("count", [1, 2, 30, 93, 330])
def test_words_of_series_do_not_overlap(count):
    words = ["low_stable_mean", "low_stable_mean_and_high_stable_std", "large_perpendicular_baseline", "no_coverage"]
    pairs, site = a_series(count, [(k, words[k % 4]) for k in range(3, count, 5)])
    names = ["pit", LONG, "c", "d", "e", "f"]
    at = np.linspace(0, count - 1, 12).astype(int)
    spans = [(names[n % 6], pairs.reference_time[k], pairs.secondary_time[k], "onset") for n, k in enumerate(at)]
    alerts = [(name, pairs.secondary_time[-1], 0.3) for name in names]
    figure = series_picture.__wrapped__((LONG, "series"), pairs, dict.fromkeys(names, site), spans, alerts)
    assert_legible(figure)


@pytest.mark.parametrize("accepted", [True, False])
def test_series_without_sites_or_values(accepted):
    count = 20
    pairs, _ = a_series(count, [] if accepted else [(k, "no_coverage") for k in range(count)])
    figure = series_picture.__wrapped__(("t", "s"), pairs)
    assert len(figure.axes) == 1
    assert ("no pair accepted" in [words for words, _ in boxes(figure)]) is not accepted
    nothing = (np.full(count, np.nan),) * 2
    assert_legible(series_picture.__wrapped__(("t", "s"), pairs, {"a": nothing}))


def test_ticks_name_months_and_years():
    def ticks(start, stop):
        return [label for _, label in month_ticks([float(days(np.datetime64(d))) for d in (start, stop)])]

    assert ticks("2021-01-20", "2021-05-02") == ["Feb\n2021", "Mar", "Apr", "May"]
    assert ticks("2021-11-20", "2022-03-02") == ["Dec\n2021", "Jan\n2022", "Feb", "Mar"]
    assert ticks("2015-02-01", "2026-01-10")[:2] == ["2016", "2017"]
    assert len(ticks("1990-01-01", "2026-01-01")) <= 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, s: ((("t", "s"), p, {"a": (s[0][1:], s[1])}), {}), "one value a pair"),
        (lambda p, s: ((("t", "s"), p, {str(k): s for k in range(7)}), {}), "at most 6 sites, instead got 7"),
        (
            lambda p, s: ((("t", "s"), p, {"a": s}, [("b", p.reference_time[0], p.secondary_time[0], "x")]), {}),
            "got 'b'",
        ),
        (lambda p, s: ((("t", "s"), p, {"a": s}), {"alerts": [("c", p.secondary_time[0], 0.3)]}), "got 'c'"),
    ],
)
def test_a_bad_series_is_named(change, message):
    arguments, more = change(*a_series())
    with pytest.raises(BadInput, match=message):
        series_picture(*arguments, **more)


def test_a_series_without_pairs_is_named():
    none = np.array([], "datetime64[ns]")
    with pytest.raises(BadInput, match="at least one pair"):
        series_picture(("t", "s"), Pairs(none, none, [], [], [], []))


# --- chart -----------------------------------------------------------------------------------------------------------


def bars(axes):
    """(year, bottom, height) of the bars, in the order drawn."""
    found = [p for p in axes.patches if isinstance(p, Rectangle) and p.get_width() == pytest.approx(BAR, abs=1e-9)]
    return [(round(p.get_x() + BAR / 2), p.get_y(), p.get_height()) for p in found]


def test_bars_are_stacked_by_colour_to_the_year_s_area():
    figure = activity_chart.__wrapped__(*a_chart())
    found = bars(figure.axes[0])
    totals = {2020: 10.5931, 2021: 11.6891, 2022: 11.0392}  # km2
    for year, total in totals.items():
        own = [(bottom, height) for y, bottom, height in found if y == year]
        assert len(own) == 4 and own[0] == (0.0, pytest.approx(2.4927, abs=1e-9))  # white, km2
        assert sum(height for _, height in own) == pytest.approx(total, abs=1e-9)
        np.testing.assert_allclose([b for b, _ in own[1:]], np.cumsum([h for _, h in own])[:-1], atol=1e-9)
    words = [words for words, _ in boxes(figure)]
    assert "10.59 km²\n105,931 pixels" in words and "cyan: 2021 and 2022" in words
    assert_legible(figure)


def test_reported_figures_are_points_with_their_source():
    figure = activity_chart.__wrapped__(*a_chart())
    upper, lower = figure.axes
    assert upper.get_xlim() == lower.get_xlim() and "Mt" in lower.get_ylabel()
    ((_, gem),) = [lines(lower, label) for label in ["reported, product: Global\nEnergy Monitor"]]
    assert gem.tolist() == [27.0]  # Mt
    assert sorted(lines(lower, "reported, ore mined: Climate\nTRACE 2023")[1]) == [35.0, 37.9]
    words = " ".join(words for words, _ in boxes(figure)).replace("\n", " ")
    assert "1 figure(s) of other years not shown" in words and "an old report" not in words


def test_missing_years_are_shown_as_missing():
    areas = [
        YearArea(2018, 2e6, 1e6, 3e6, 5000),
        YearArea(2020, np.nan, np.nan, np.nan),
        YearArea(2021, 0.0, 0.0, 1e4, 0),
    ]
    figure = activity_chart.__wrapped__(("t", "s"), areas, [YearProduction(2021, 5e5, 1e5, 9e5)])
    assert [year for year, *_ in bars(figure.axes[0])] == [2018, 2021]
    assert sorted(round(t.get_position()[0]) for t in figure.axes[0].texts if t.get_text() == "no data") == [2019, 2020]
    missing = sorted(round(t.get_position()[0]) for t in figure.axes[1].texts if t.get_text() == "no figure")
    assert missing == [2018, 2019, 2020]
    assert "kt" in figure.axes[1].get_ylabel()
    assert_legible(figure)


def test_what_no_colour_counts_is_a_part_of_its_own():
    area = YearArea(2020, 1000.0, np.nan, np.nan, None, {1: 400.0, 7: 100.0})
    figure = activity_chart.__wrapped__(("t", "s"), [area], meaning=colour_years(YEARS))
    assert [height for *_, height in bars(figure.axes[0])] == [100.0, 400.0, 500.0]  # m2: less than 0.01 km2
    words = [words for words, _ in boxes(figure)]
    assert "active, but with no data in\nanother of the three years" in words
    assert "95 % interval" not in words  # none was known


@pytest.mark.parametrize("years", [1, 5, 12, 20])
def test_words_of_charts_do_not_overlap(years):
    areas = [YearArea(2005 + k, 9.87e7 * (1 + k % 3), 9e7, 3.3e8, 1_234_567) for k in range(years)]
    reported = [ProductionFigure(2005, 1e6 * k + 1e6, "ore", f"{LONG} {k}") for k in range(4)]
    assert_legible(activity_chart.__wrapped__((LONG, "s"), areas, [YearProduction(2005, 1e6, 5e5, 2e6)], reported))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), "at least one year"),
        (([YearArea(2020, 1, 0, 2), YearArea(2020, 1, 0, 2)],), "one area a year"),
        (([YearArea(2020, -1.0, 0, 2)],), "must not be negative, instead got -1.0"),
        (([YearArea(2020, 1, 0, 2, 1, {1: 1.0})],), "meaning of all 8 codes"),
        (([YearArea(2020, 1, 0, 2)], [YearProduction(2020, 1, 0, 2)] * 2), "one production estimate a year"),
    ],
)
def test_a_bad_chart_is_named(arguments, message):
    with pytest.raises(BadInput, match=message):
        activity_chart(("t", "s"), *arguments)


# --- album and command -----------------------------------------------------------------------------------------------


def years_of_cubes(*years):
    """The example cube as several years: its pairs moved, and its active corner in another place each year."""
    out = []
    for k, year in enumerate(years):
        cube = example_cube(year=year)
        shift = np.datetime64(f"{year}-01-01") - np.datetime64("2021-01-01")
        for name in ("reference_time", "secondary_time"):
            cube = cube.assign_coords({name: cube[name] + shift})
        for name in ("activity", "ndai", "coherence"):
            cube[name].values[...] = np.roll(cube[name].values, 16 * k, axis=-1)
        own = np.zeros(cube["mine"].shape, np.uint8)
        own[2:-2, 3:-3] = 1
        cube["mine"].values[...] = own
        out.append(cube)
    return out


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Three years as items with cubes beside them."""
    root = tmp_path_factory.mktemp("published")
    (root / "catalog").mkdir()
    for cube in years_of_cubes(2020, 2021, 2022):
        year = cube.attrs["year"]
        write_map(cube, root / "products" / f"{year}.zarr")
        facts = {"pitpulse:active_area": 80_000.0 + year, "pitpulse:active_area_interval": [70_000.0, None]}
        item = {"type": "Feature", "properties": facts, "assets": {"cube": {"href": f"../products/{year}.zarr"}}}
        (root / "catalog" / f"{year}.json").write_text(json.dumps(item))
    return root


def test_everything_is_drawn_and_what_fails_stops_nothing(published, tmp_path):
    items = [str(published / "catalog" / f"{year}.json") for year in (2022, 2020, 2021)]
    bad = tmp_path / "bad.json"
    bad.write_text('{"type": "Catalog"}')
    sources = (*items, str(bad), str(tmp_path / "nothing.json"), str(published / "products" / "2020.zarr"))
    told, said = [], []
    out = tmp_path / "out"
    assert pictures(PicturesRequest(sources, str(out)), said.append, told.append) == 1
    names = {f"sishen-{y}-{what}.png" for y in (2020, 2021, 2022) for what in ("ndai", "classes")}
    colours = ("black", "red", "green", "blue", "yellow", "magenta", "cyan", "white", "colours", "composite")
    names |= {f"sishen-2020-2022-{what}.png" for what in colours} | {"sishen-series.png", "sishen-areas.png"}
    assert {p.name for p in out.iterdir()} == names
    assert all(opened(p.read_bytes()).shape[1] >= 600 for p in out.iterdir())  # px
    assert said[-1] == f"18 pictures in {out}"
    assert [line.split(": ")[0] for line in said[:-1]] == ["failed"] * 3
    assert "expected an item with an asset 'cube', found a 'Catalog'" in said[0]
    assert "nothing is there" in said[1] and "sishen 2020 is given already" in said[2]
    assert "sishen: composite of 2020-2022" in told


def test_cubes_without_items_are_drawn_alike(published, tmp_path):
    cubes = tuple(str(published / "products" / f"{year}.zarr") for year in (2020, 2021))
    one, two = (draw(PicturesRequest(cubes, str(tmp_path / name))) for name in "ab")
    assert one.failed == () and len(one.paths) == 6  # two maps a year, series, chart
    for name in one.paths:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert one == two


def test_a_torn_cube_and_one_of_another_kind_are_named(published, tmp_path):
    cube = years_of_cubes(2020)[0]
    write_map(cube.drop_vars("stable_mean"), tmp_path / "lacking.zarr")
    drawn = draw(PicturesRequest((str(tmp_path / "lacking.zarr"), str(published)), str(tmp_path / "out")))
    assert drawn.paths == () and "this one lacks stable_mean" in drawn.failed[0]
    assert "no complete Zarr 3 store" in drawn.failed[1]
    with pytest.raises(BadInput, match="at least one item or cube"):
        draw(PicturesRequest((), str(tmp_path)))


def test_named_sites_and_a_given_mine(published, tmp_path):
    cube = years_of_cubes(2020)[0]
    outline = mine_of(cube)
    assert (outline.id, outline.country, outline.commodity) == ("sishen", "ZAF", "iron ore")
    np.testing.assert_array_equal(inside(outline.geometry, grid_of(cube)), cube["mine"].values == 1)
    feature = {"type": "Feature", "properties": {"id": "sishen", "name": "Sishen North"}, "geometry": outline.geometry}
    (tmp_path / "mine.geojson").write_text(json.dumps(feature))
    feature["properties"] = {"name": "whole pit"}
    (tmp_path / "sites.geojson").write_text(json.dumps(feature))
    sources = (str(published / "catalog" / "2020.json"),)
    more = {"mines": str(tmp_path / "mine.geojson"), "sites": str(tmp_path / "sites.geojson")}
    plain, named = tmp_path / "plain", tmp_path / "named"
    assert (
        draw(PicturesRequest(sources, str(plain))).failed == draw(PicturesRequest(sources, str(named), **more)).failed
    )
    assert (plain / "sishen-series.png").read_bytes() != (named / "sishen-series.png").read_bytes()


def test_places_of_several_years_are_each_kept_once():
    cubes = years_of_cubes(2020, 2021, 2022)
    mine = mine_of(cubes[0])
    found = places(mine, cubes, Settings())
    assert [site.name for site in found] == ["2020-area-1", "2021-area-1", "2022-area-1"]
    again = places(mine, [cubes[0], *years_of_cubes(2021)], Settings())  # the same place in both years
    assert len(again) == 1
    assert places(mine, cubes, Settings(site_minimum_area=1e6)) == ()  # m2


def test_an_album_needs_cubes_that_belong_together():
    cubes = years_of_cubes(2020, 2021)
    with pytest.raises(BadInput, match=r"one cube a year, rising, instead got the years \[2021, 2020\]"):
        Album(mine_of(cubes[0]), cubes[::-1])
    other = example_cube("musan", 2022)
    with pytest.raises(BadInput, match="one grid"):
        Album(mine_of(cubes[0]), [*cubes, other])
    four = Album(mine_of(cubes[0]), years_of_cubes(2018, 2020, 2021, 2022))
    assert [[c.attrs["year"] for c in three] for three in four.triples] == [[2020, 2021, 2022]]
    apart = Album(mine_of(cubes[0]), years_of_cubes(2016, 2020, 2022))
    assert len(apart.triples) == 1  # any three years, if they are all there is


@pytest.mark.parametrize(
    ("url", "href", "expected"),
    [
        ("/a/b/item.json", "../c/x.zarr", "/a/c/x.zarr"),
        ("b/item.json", "./x.zarr", "b/x.zarr"),
        ("s3://bucket/catalog/m/item.json", "../../products/x.zarr", "s3://bucket/products/x.zarr"),
        ("/a/item.json", "s3://bucket/x.zarr", "s3://bucket/x.zarr"),
        ("/a/item.json", "/b/x.zarr", "/b/x.zarr"),
    ],
)
def test_links_beside_a_document(url, href, expected):
    assert beside(url, href) == expected
