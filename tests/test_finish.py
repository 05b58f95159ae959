"""Several years of one mine: which classifier decides, what a year takes from the others, what stands beside it."""

from dataclasses import replace

import numpy as np
import pyproj
import pytest
from odc.geo.geobox import GeoBox

from pipeline.activity.ndai import annual_ndai
from pipeline.activity.stable_points import select_stable_points
from pipeline.cube import cube_attributes, template, validate
from pipeline.errors import BadInput
from pipeline.finish import finish_years
from pipeline.model import Mine
from pipeline.pictures.album import mine_of
from pipeline.settings import Settings
from pipeline.variables import ACTIVE, INCOHERENT, LAYOVER, reason_codes

LOOKS, PAIRS, SIZE = 7, 20, 60
GRID = GeoBox.from_bbox((696_000, 6_928_000, 696_000 + SIZE * 20, 6_928_000 + SIZE * 20), "EPSG:32734", resolution=20)
PIT, BENCH = np.s_[10:22, 10:22], np.s_[35:47, 30:42]  # 240 m squares
FOREST, HIDDEN = np.s_[50:, :], np.s_[:4, 50:]
WORK = {2020: BENCH, 2021: PIT, 2022: BENCH, 2023: PIT}  # what is worked in every interval of a year


def coherence_of(year: int) -> np.ndarray:
    """Sample coherence (pair, y, x): 0.93, forest 0.2, what is worked 0."""
    rng = np.random.default_rng(year)
    true = np.full((PAIRS, SIZE, SIZE), 0.93)
    true[:, FOREST[0], FOREST[1]] = 0.2
    true[:, WORK[year][0], WORK[year][1]] = 0.0
    samples = (rng.standard_normal((SIZE, SIZE, LOOKS, 2)) @ [1, 1j] for _ in range(PAIRS + 1))
    before, out = next(samples), np.empty(true.shape, np.float32)
    for t, new in enumerate(samples):  # each pair shares a date with the next
        after = true[t, ..., None] * before + np.sqrt(1 - true[t, ..., None] ** 2) * new
        power = (np.abs(before) ** 2).sum(-1) * (np.abs(after) ** 2).sum(-1)
        out[t], before = np.abs((before * after.conj()).sum(-1)) / np.sqrt(power), after
    return out


def cube_of(year: int, settings: Settings):
    """A cube as a job leaves it: without classes."""
    start = np.datetime64(f"{year}-01-05T16:45", "ns") + np.arange(PAIRS) * np.timedelta64(12, "D")
    facts = {"track": 29, "equivalent_looks": LOOKS, "source_granules": ["S1A"], "fingerprint": f"{year}"}
    mine = Mine("m", "Mine", {}, "ZAF", "iron ore")
    cube = template(GRID, start, start + np.timedelta64(12, "D"), cube_attributes(mine, year, settings, **facts))
    coherence, inside = coherence_of(year), np.ones((SIZE, SIZE), bool)
    stable = select_stable_points(coherence, inside, settings, start)
    annual = annual_ndai(coherence, stable, settings.minimum_pairs)
    hidden = np.zeros((SIZE, SIZE), np.uint8)
    hidden[HIDDEN] = LAYOVER
    layers = {"coherence": coherence, "ndai": annual.mean, "ndai_count": annual.count, "stable_point": stable.mask,
              "coherence_mean": annual.coherence_mean, "incidence_angle": 0.65, "height": 1200.0, "mine": inside,
              "layover_shadow": hidden, "stable_mean": stable.mean, "stable_std": stable.std,
              "stable_reference": stable.reference, "accepted": stable.accepted,
              "reason": reason_codes(stable.reason)}  # fmt: skip
    for name, values in layers.items():
        cube[name].values[...] = values
    cube.attrs["stable_optimism"] = stable.optimism
    return cube


def finished(years, mine=None, **changes) -> dict:
    """What `finish_years` makes of some years, by year."""
    settings = Settings(**changes)
    cubes = [cube_of(year, settings) for year in years]
    done = finish_years(mine or mine_of(cubes[0]), cubes, settings)
    for result in done:
        validate(result.cube)
    return {int(result.cube.attrs["year"]): result for result in done}


def active(result, part) -> float:
    """Share of a part that is active."""
    return float((result.cube["activity"].values[part] == ACTIVE).mean())


@pytest.mark.parametrize("classify", ["test", "threshold", "hsv"])
def test_every_classifier_finds_the_work_and_leaves_forest_and_layover_alone(classify):
    for year, result in finished((2021, 2022, 2023), classify=classify).items():
        quiet = BENCH if WORK[year] is PIT else PIT
        assert active(result, WORK[year]) > 0.95 and active(result, quiet) < 0.05, (year, classify)
        kinds = result.cube["activity"].values
        assert (kinds[FOREST] == INCOHERENT).mean() > 0.9 and (kinds[HIDDEN] == INCOHERENT).all()
        scores = result.cube["activity_score"].values
        assert np.isfinite(scores).all() == (classify == "test")
        assert result.area.incoherent >= 0.9 * 10 * SIZE * 400.0  # m2
        truth = 144 * 400.0  # m2
        assert abs(result.area.area / truth - 1.0) < 0.1
        assert result.area.legacy_area == 100.0 * result.area.pixels


def test_hue_needs_three_years():
    with pytest.raises(BadInput, match="classify=hsv needs three consecutive years that hold the year"):
        finished((2021, 2022), classify="hsv")


def test_the_same_year_beside_other_years():
    first, second = finished((2020, 2021, 2022), permanent="year"), finished((2021, 2022, 2023), permanent="year")
    for year in (2021, 2022):
        np.testing.assert_array_equal(first[year].cube["activity"], second[year].cube["activity"])
        assert first[year].area == second[year].area


def test_by_the_year_alone_what_is_worked_all_year_is_lost_with_the_forest():
    alone = finished((2021,), permanent="year")[2021].cube["activity"].values
    assert (alone[PIT] == INCOHERENT).mean() > 0.9 and (alone[FOREST] == INCOHERENT).mean() > 0.9
    one_year = finished((2021,))[2021].cube["activity"].values  # on record: nothing is set apart
    assert (one_year[PIT] == ACTIVE).all() and (one_year[FOREST] == ACTIVE).mean() > 0.9


def test_three_years_have_colours_that_name_their_years():
    done = finished((2021, 2022, 2023), composite_order="newest-red")
    assert done[2021].colours is None and done[2021].rgba_years == ()
    last = done[2023]
    assert last.rgba_years == (2023, 2022, 2021)  # red, green, blue
    values, counts = np.unique(last.colours[PIT], return_counts=True)
    assert values[counts.argmax()] == 0b101  # 2023 and 2021
    values, counts = np.unique(last.colours[BENCH], return_counts=True)
    assert values[counts.argmax()] == 0b010
    assert (last.rgba[PIT][..., [0, 2]] > 200).mean() > 0.9 and (last.rgba[PIT][..., 1] < 40).mean() > 0.9


def test_looks_and_test_are_told():
    attributes = finished((2021, 2022))[2021].cube.attrs
    assert abs(attributes["calibrated_looks"] - LOOKS) < 0.3  # looks, of independent samples
    assert attributes["test_looks"] <= LOOKS and 0.0 < attributes["test_limit"] < 0.05


def test_sites_have_series_and_events():
    x, y = 696_000 + np.array([200, 440]), 6_928_000 + 20 * SIZE - np.array([200, 440])  # m, the pit
    lon, lat = pyproj.Transformer.from_crs(32734, 4326, always_xy=True).transform(
        x[[0, 1, 1, 0, 0]], y[[0, 0, 1, 1, 0]]
    )
    site = ("pit", {"type": "Polygon", "coordinates": [np.stack([lon, lat], axis=1).tolist()]})
    mine = replace(mine_of(cube_of(2021, Settings())), sites=(site,))
    first, second = finished((2021, 2022), mine).values()
    assert set(first.series.table["site"].to_pylist()) == {"stable points", "pit"}
    assert first.series.table.num_rows == second.series.table.num_rows == 2 * PAIRS
    assert first.events == () and first.series.changes == ()  # never quiet on record: nothing to compare with
    (change,) = second.series.changes
    assert change["active_from_the_start"] and not change["ongoing"]
    assert change["end_after"][:10] <= "2022-01-05" <= change["end_before"][:10]
    (text,) = second.events
    assert text.startswith("site pit: active from the start of the record to 2021-") and "/2022-01-" in text


def test_only_the_years_on_record_decide_what_is_permanent():
    settings = Settings()
    years = (2021, 2022, 2023)

    def classes(records, wanted=None):
        cubes = [cube_of(year, settings) for year in years]
        done = finish_years(mine_of(cubes[0]), cubes, settings, records, wanted)
        return {int(f.cube.attrs["year"]): f.cube["activity"].values for f in done}

    every, none = classes(None), classes({})
    for year in years:
        np.testing.assert_array_equal(every[year], none[year])
    without = finish_years(mine_of(cube_of(2021, settings)), [cube_of(y, settings) for y in (2021, 2022)], settings)
    beside = classes({2021: (2021, 2022), 2022: (2021, 2022), 2023: years})
    for k, year in enumerate((2021, 2022)):  # as if 2023 were not there
        np.testing.assert_array_equal(beside[year], without[k].cube["activity"].values)
    alone = classes({2022: (2022,)}, wanted={2022})
    assert list(alone) == [2022]
    assert (alone[2022][FOREST] == INCOHERENT).mean() < 0.1  # one year can't tell forest from work
