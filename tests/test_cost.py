"""The cost model: its sums, and that its figures are those of a run."""

import json

import pytest

from pipeline.cli import main
from pipeline.cost import AREA, Figures, backfill, refresh


def test_the_measured_mine_year_costs_what_was_measured():
    """31 dates took 16.3 CPU s, one more date of a kept stack 4.2 and 12.9 MB (two cores, 2026-11)."""
    assert backfill(1, 1, 31).cpu == pytest.approx(16.3, rel=0.05)
    new = refresh(1, 1, 30)
    assert new.cpu == pytest.approx(4.2, rel=0.05) and new.read == pytest.approx(12.9e6, rel=0.02)


def test_it_grows_with_what_there_is_to_do():
    one = backfill(1, 1, 31)
    many = backfill(1000, 3, 31)
    assert many.cpu == pytest.approx(3000 * one.cpu) and many.read == pytest.approx(3000 * one.read)
    assert many.stored < 3000 * one.stored  # what is kept is kept once a mine
    assert backfill(1, 1, 31, area=2 * AREA).cpu == pytest.approx(2 * one.cpu)
    assert refresh(1, 1, 0).cpu < refresh(1, 2, 0).cpu < backfill(1, 1, 31).cpu
    assert backfill(1, 1, 31, figures=Figures(cpu_date=0.0)).cpu == Figures().cpu_run


def test_the_command(capsys, tmp_path):
    assert main(["cost", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["mines"] for row in rows] == [1266, 1266, 45000, 45000]
    assert rows[2]["core_hours"] == pytest.approx(45000 / 1266 * rows[0]["core_hours"])
    assert main(["cost", "--mines", "10", "--cores", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "4 cores" in lines[0] and len(lines) == 4 and lines[2].split()[0] == "10"
    square = {"type": "Polygon", "coordinates": [[[22, -28], [22.1, -28], [22.1, -27.9], [22, -27.9], [22, -28]]]}
    (tmp_path / "m.geojson").write_text(json.dumps({"type": "Feature", "properties": {"id": "m"}, "geometry": square}))
    assert main(["cost", "--mine", str(tmp_path / "m.geojson")]) == 0
    assert "maps of 133 km2" in capsys.readouterr().out  # 9.8 x 11.1 km, 500 m around, and UTM is turned
    assert main(["cost", "--cores", "0"]) == 2 and "--cores must be at least 1" in capsys.readouterr().err
