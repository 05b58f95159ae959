r"""One class a pixel: no data, inactive, active, permanently incoherent, by one of three classifiers.

    test       less coherent than the stable points, at a known share of false discoveries (`significance`)
    threshold  annual index above ``threshold``
    hsv        the colour of a three-year composite contains the year (`hues`)

A classifier decides only which pixels are active; `classes` composes its answer with what is missing and with ground
that can't be decided, so that every classifier shares one set of classes, exclusive and exhaustive.

Water, vegetation and layover lose coherence in every pair, and so does a bench that is dug in every interval: within
one year the coherence can't tell them apart. Over several years it can, because ground that is worked was still or
will be left alone at some time, while vegetation never is coherent. The rule here (METHODS section 5 asks for the
class but gives none) is

    a pixel is permanently incoherent where its sample coherence reaches 0.8 (the level of a stable point) in at most
    5 % of the accepted pairs of all years together, and in at most 25 % of those of any one year, with at least two
    years on record

Vegetation of true coherence 0.25 reaches 0.8 by speckle in about 1 % of pairs (L = 6.4 to 7), ground disturbed in 80
% of the intervals in about 19 %. What each setting of ``permanent`` costs:

    record  The mask is the only thing that a year's classes take from other years (and with it, the pixels among
            which `test` counts false discoveries). Ground dug in practically every interval of every year on record is
            lost; with one year on record nothing is masked, and vegetation inside the polygon counts as active.
    year    The rule of 5 % on the year alone: nothing of another year enters. Ground dug in practically every interval
            of the year, the busiest of the mine, is lost with the vegetation.
    none    Vegetation and water inside the polygon count as active.

Layover and radar shadow show no ground whose activity could be told, in any of the three.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..settings import Settings
from ..variables import ACTIVE, INACTIVE, INCOHERENT, LAYOVER, NO_DATA, SHADOW
from .composite import NO_COLOUR, year_code
from .hues import hue_active, hue_code
from .significance import Evidence, Significance, year_significance

COHERENT_LEVEL = 0.8  # sample coherence, that of a stable point
PERMANENT_SHARE = 0.05  # of the accepted pairs of all years
PERMANENT_YEAR_SHARE = 0.25  # of the accepted pairs of any one year: one quiet year in a long series is quiet ground
PERMANENT_YEARS = 2


def coherent_pairs(coherence, accepted, level: float = COHERENT_LEVEL):
    """How often each pixel was coherent in one year.

    Parameters
    ----------
    coherence : ndarray, (pair, y, x), float
        NaN where missing.
    accepted : ndarray, (pair,), bool
        Pairs that count.
    level : float
        Sample coherence that counts as coherent.

    Returns
    -------
    coherent, observed : ndarray, (y, x), int32
        Accepted pairs at or above the level, and accepted pairs with a value.

    Raises
    ------
    BadInput
        If there is not one flag a pair.
    """
    accepted = np.asarray(accepted, bool)
    if np.ndim(coherence) != 3 or accepted.shape != (len(coherence),):
        raise BadInput(f"accepted must hold one flag a pair of {np.shape(coherence)}, instead got {accepted.shape}")
    shape = np.shape(coherence)[1:]
    coherent, observed = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for t in np.flatnonzero(accepted):
        coherent += coherence[t] >= level  # NaN compares false
        observed += np.isfinite(coherence[t])
    return coherent, observed


def permanently_incoherent(coherent, observed, minimum_pairs: int):
    """True where no year on record shows coherent ground; the rule and its numbers are the module's.

    Parameters
    ----------
    coherent, observed : ndarray, (year, y, x), int
        What `coherent_pairs` gives for each year of the series, in any order.
    minimum_pairs : int
        A year with fewer observed pairs at a pixel says nothing about it.

    Returns
    -------
    ndarray, (y, x), bool
        All False with fewer than ``PERMANENT_YEARS`` years.

    Raises
    ------
    BadInput
        If the two arrays differ in shape or have no year axis.
    """
    coherent, observed = np.asarray(coherent), np.asarray(observed)
    if coherent.shape != observed.shape or coherent.ndim != 3:
        raise BadInput(
            f"coherent and observed must be one shape (year, y, x), instead got {coherent.shape}, {observed.shape}"
        )
    speaks = observed >= max(minimum_pairs, 1)
    coherent, observed = np.where(speaks, coherent, 0), np.where(speaks, observed, 0)
    rarely = coherent.sum(axis=0) <= PERMANENT_SHARE * observed.sum(axis=0)
    never_quiet = (coherent <= PERMANENT_YEAR_SHARE * observed).all(axis=0)
    return (speaks.sum(axis=0) >= PERMANENT_YEARS) & rarely & never_quiet


def undecidable(coherent, observed, position: int, layover_shadow, settings: Settings):
    """Ground of one year that gets a class of its own: permanently incoherent, in layover or in shadow.

    Parameters
    ----------
    coherent, observed : ndarray, (year, y, x), int
        What `coherent_pairs` gives for each year of the series.
    position : int
        The year, counted on the first axis.
    layover_shadow : ndarray, (y, x), uint8
        Bits ``variables.LAYOVER`` and ``SHADOW``; 255 where not known.
    settings : Settings
        ``permanent`` and ``minimum_pairs``.

    Returns
    -------
    ndarray, (y, x), bool

    Raises
    ------
    BadInput
        As `permanently_incoherent`, and where the layover mask has another shape.
    """
    coherent, observed, unseen = np.asarray(coherent), np.asarray(observed), np.asarray(layover_shadow)
    if unseen.shape != coherent.shape[1:]:
        raise BadInput(f"layover_shadow must be {coherent.shape[1:]}, instead got {unseen.shape}")
    hidden = (unseen != 255) & (unseen & (LAYOVER | SHADOW) > 0)
    if settings.permanent == "record":
        return hidden | permanently_incoherent(coherent, observed, settings.minimum_pairs)
    if settings.permanent == "none":
        return hidden
    speaks = observed[position] >= max(settings.minimum_pairs, 1)
    return hidden | (speaks & (coherent[position] <= PERMANENT_SHARE * observed[position]))


def threshold_active(ndai, threshold: float):
    """(y, x) bool: index above the threshold; False where the index is NaN."""
    return np.asarray(ndai) > threshold


def classes(active, observed, permanent=None):
    """Compose one class a pixel.

    Parameters
    ----------
    active, observed : ndarray, (y, x), bool
        A classifier's answer, and where it had an index to answer with.
    permanent : ndarray, (y, x), bool, optional
        Permanently incoherent pixels; they are neither active nor inactive. None where unknown.

    Returns
    -------
    ndarray, (y, x), uint8
        `variables.NO_DATA` 0, `INACTIVE` 1, `ACTIVE` 2, `INCOHERENT` 3.

    Raises
    ------
    BadInput
        If the shapes differ.
    """
    active, observed = np.asarray(active, bool), np.asarray(observed, bool)
    permanent = np.zeros(active.shape, bool) if permanent is None else np.asarray(permanent, bool)
    if not active.shape == observed.shape == permanent.shape:
        raise BadInput(
            f"active, observed and permanent must be one shape, instead got {active.shape}, {observed.shape}, "
            f"{permanent.shape}"
        )
    result = np.where(active, np.uint8(ACTIVE), np.uint8(INACTIVE))
    result[permanent] = INCOHERENT
    result[~observed] = NO_DATA
    return result


@dataclass(frozen=True, eq=False)
class Classified:
    """``classes`` (y, x) uint8 as `classes`; ``significance`` where the test made them, else None."""

    classes: NDArray[np.uint8] = field(repr=False)
    significance: Significance | None = None


@dataclass(frozen=True, eq=False)
class ThreeYears:
    """Annual index (3, y, x) of the years of a composite, oldest first, and which of them is asked about (0..2)."""

    ndai: NDArray[np.float32] = field(repr=False)
    position: int


def classify_year(
    evidence: Evidence, ndai, settings: Settings, permanent=None, three: ThreeYears | None = None
) -> Classified:
    """Classes of a year by the classifier that the settings name.

    Parameters
    ----------
    evidence : Evidence
        The year's pairs; only ``test`` looks at them.
    ndai : ndarray, (y, x), float
        Annual index; only ``threshold`` looks at it. NaN becomes no data.
    settings : Settings
        ``classify`` and the classifier's own parameters.
    permanent : ndarray, (y, x), bool, optional
        Ground that can't be decided, from `undecidable`. ``test`` doesn't count it among its candidates.
    three : ThreeYears, optional
        Only ``hsv`` looks at it, and needs it; `hues.composite_years` says which years.

    Returns
    -------
    Classified

    Raises
    ------
    BadInput
        For an unknown classifier, shapes that differ, or ``hsv`` without three years.
    """
    permanent = np.zeros(np.shape(evidence.mine), bool) if permanent is None else np.asarray(permanent, bool)
    if settings.classify == "test":
        result = year_significance(evidence, np.asarray(evidence.mine, bool) & ~permanent, settings)
        return Classified(classes(result.active, np.isfinite(result.p), permanent), result)
    if settings.classify == "threshold":
        return Classified(classes(threshold_active(ndai, settings.threshold), np.isfinite(ndai), permanent))
    if settings.classify != "hsv":
        raise BadInput(f"classify must be test, threshold or hsv, instead got {settings.classify!r}")
    if three is None:
        raise BadInput(
            "classify=hsv needs three consecutive years that hold the year, instead got fewer; add years or choose test"
        )
    code = hue_code(three.ndai, settings)
    return Classified(classes(hue_active(code, three.position, settings.composite_order), code != NO_COLOUR, permanent))


def class_code(years, order: str):
    """Eight colours of three years' classes.

    Parameters
    ----------
    years : sequence of three ndarrays, (y, x), uint8
        As `classes`, oldest first.
    order : str
        As `composite.composite`.

    Returns
    -------
    ndarray, (y, x), uint8
        As `composite.year_code`; ``composite.NO_COLOUR`` where a year has no data, and where the ground is incoherent
        in all of them: it can't be decided.

    Raises
    ------
    BadInput
        As `composite.year_code`.
    """
    years = np.asarray(years)
    known = (years != NO_DATA).all(axis=0) & ~(years == INCOHERENT).all(axis=0)
    return year_code(years == ACTIVE, known, order)
