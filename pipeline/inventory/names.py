"""When two names can mean one mine.

Names are compared by their words, without those that any mine may carry ("mine", "coal", "Ltd"). Words that tell
neighbours apart (numbers, points of the compass, "upper", "new") must agree: Zhundong No. 2 is not Zhundong No. 3, and
Sishen South is not Sishen.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from difflib import SequenceMatcher

SAME, LIKE, OTHER, APART = 2, 1, 0, -1

_GENERIC = frozenset(
    """mine mines mining mina minas minera mineral minerals coal iron ore gold copper zinc lead silver nickel tin
    lignite bauxite manganese project projects operation operations complex colliery collieries pit pits opencast
    opencut open cast cut surface underground quarry deposit area group company co corp corporation ltd limited
    llc pty pt plc inc sa jsc oao ooo pao ao spa the of and de del do da el la los las le les di""".split()
)
_WORDS = {"mt": "mount", "st": "saint", "no": "", "number": "", "nr": "", "i": "1", "ii": "2", "iii": "3", "iv": "4"}
_WORDS |= {"v": "5", "vi": "6", "vii": "7", "viii": "8", "one": "1", "two": "2", "three": "3", "four": "4"}
_SIDES = frozenset(
    """north south east west northern southern eastern western nord sud norte sur sul oeste upper lower new old big
    little""".split()
)
_SIMILAR = 0.85  # of difflib: "Silewara" and "Silwara" 0.93; "Xinyang" and "Xintian" 0.71, "Gangli" and "Gangji" 0.83
_LONG = 5  # letters: of shorter words one letter makes another


@functools.lru_cache(maxsize=200_000)
def words(name: str) -> tuple[frozenset[str], frozenset[str]]:
    """A name's telling words, and those that tell neighbours apart; both in plain lower-case letters."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(c for c in plain if not unicodedata.combining(c) and c not in "'’`")
    found = [_WORDS.get(w, w) for w in re.findall(r"[^\W\d_]+|\d+", plain)]
    marks = frozenset(w for w in found if w in _SIDES or w.isdigit() or len(w) == 1)
    kept = frozenset(w for w in found if w and w not in _GENERIC and w not in marks)
    # "Iron Mine" is all that some are called
    return kept or frozenset(w for w in found if w and w not in marks), marks


@functools.lru_cache(maxsize=500_000)
def likeness(first: str, second: str) -> int:
    """How two names go together.

    Returns
    -------
    int
        `SAME` words; `LIKE`: the words of one among the other's, or a different spelling; `APART`: alike, but each
        with a number or side of its own; else `OTHER`.
    """
    (a, marks_a), (b, marks_b) = words(first), words(second)
    if not a or not b:
        return OTHER
    alike = SAME if a == b else LIKE if a <= b or b <= a or _spelled_alike(a - b, b - a) else OTHER
    if marks_a == marks_b:
        return alike
    return APART if alike and marks_a and marks_b else OTHER


def _spelled_alike(a: frozenset[str], b: frozenset[str]) -> bool:
    """True where what two names don't share is one word or two, written differently."""
    text_a, text_b = "".join(sorted(a)), "".join(sorted(b))
    if min(len(text_a), len(text_b)) < _LONG:
        return False
    matcher = SequenceMatcher(None, text_a, text_b, autojunk=False)
    return matcher.real_quick_ratio() >= _SIMILAR and matcher.quick_ratio() >= _SIMILAR and matcher.ratio() >= _SIMILAR
