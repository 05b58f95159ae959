r"""From the annual index to one class a pixel: no data, inactive, active, permanently incoherent.

A classifier decides only which pixels are active; `classes` composes its answer with what is missing and with the
permanent mask, so that every classifier shares one set of classes, exclusive and exhaustive.

Water, vegetation and layover lose coherence in every pair, and so does a bench that is dug in every interval: within
one year the coherence can't tell them apart. Over several years it can, because ground that is worked was still or
will be left alone at some time, while vegetation never is coherent. The rule here (METHODS section 5 asks for the
class but gives none):

    a pixel is permanently incoherent where its sample coherence reaches 0.8 (the level of a stable point) in at most
    5 % of the accepted pairs of all years together, and in at most 25 % of those of any one year, with at least two
    years on record

Vegetation of true coherence 0.25 reaches 0.8 by speckle in about 1 % of pairs (L = 6.4 to 7), ground disturbed in 80
% of the intervals in about 19 %. The mask is the only thing that a year's classes take from other years, and what it
costs is known: ground dug in practically every interval of every year on record ends in this class, and with one year
on record nothing does.
"""

from __future__ import annotations

import numpy as np

from ..errors import BadInput
from ..settings import Settings
from ..variables import ACTIVE, INACTIVE, INCOHERENT, NO_DATA

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


def classify(ndai, settings: Settings, permanent=None):
    """Classes of a year by the classifier that the settings name.

    Parameters
    ----------
    ndai : ndarray, (y, x), float
        Annual index; NaN becomes no data.
    settings : Settings
        ``classify`` and the classifier's own parameters (``threshold``).
    permanent : ndarray, (y, x), bool, optional
        As `classes`.

    Returns
    -------
    ndarray, (y, x), uint8
        As `classes`.

    Raises
    ------
    BadInput
        For an unknown classifier, or shapes that differ.
    """
    if settings.classify != "threshold":
        raise BadInput(f"classify must be threshold, instead got {settings.classify!r}")
    return classes(threshold_active(ndai, settings.threshold), np.isfinite(ndai), permanent)
