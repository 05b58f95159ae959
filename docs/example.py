"""Search, open, plot, table: what an analyst does with published products. Run ``make demo`` first.

python docs/example.py build/demo docs/example.png
"""

import sys

import matplotlib.pyplot as plt

import catalog


def main(root: str = "build/demo", picture: str = "build/demo/example.png") -> None:
    """Print a table of mine-years and of what grew, and draw the years of the mine that grew most."""
    found = catalog.search_table(root, commodity="iron ore", filter="active_area >= 0", sort="-active_area")
    print(found.to_pandas().to_string(index=False))

    last = max(found["year"].to_pylist())
    grown = catalog.growth(last, root, commodity="iron ore")
    print(grown.select(["mine_id", "area_before", "area", "growth_low", "growth_high", "grew"]).to_pandas())

    cube = catalog.open_mine(grown["mine_id"][0].as_py(), root)  # lazily: nothing is read yet
    years = cube["year"].values
    figure, axes = plt.subplots(1, len(years) + 1, figsize=(4 * (len(years) + 1), 3.6), layout="constrained")
    for axis, year in zip(axes, years, strict=False):
        cube["ndai"].sel(year=year).plot(ax=axis, cmap="inferno", vmin=0, vmax=0.45, add_colorbar=bool(year == last))
        axis.set(title=str(year), aspect="equal")
    pairs = cube[["secondary_time", "stable_mean", "accepted"]].compute()
    good = pairs["accepted"].values
    axes[-1].plot(pairs["secondary_time"][good], pairs["stable_mean"][good], ".", label="accepted")
    axes[-1].plot(pairs["secondary_time"][~good], pairs["stable_mean"][~good], "x", label="rejected")
    axes[-1].set(ylim=(0, 1), title="coherence of the stable points")
    axes[-1].tick_params(axis="x", rotation=60)
    axes[-1].legend()
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:])
