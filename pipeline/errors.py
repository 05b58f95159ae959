"""The errors a caller can tell apart.

Each is also a builtin, so that code which knows nothing of pitpulse still catches it. A message names
the thing, what was expected, what was found instead, and what to do.
"""


class PitpulseError(Exception):
    """Base of every error that pitpulse raises on purpose; the command prints it without a traceback."""


class BadInput(PitpulseError, ValueError):
    """An argument or a setting that can't be used: wrong value, wrong range, unknown name."""


class BadProduct(PitpulseError, ValueError):
    """A Sentinel-1 product that can't be used: wrong mode, missing annotation, truncated measurement."""


class Unavailable(PitpulseError, OSError):
    """A URL that can't be read or written: absent, refused, unreachable."""


class Absent(Unavailable, FileNotFoundError):
    """A URL of which the store itself says that nothing is there: neither refused nor unreachable."""


class NoCoverage(PitpulseError, LookupError):
    """Data that exist but don't cover what was asked: burst, DEM, orbit or dates."""


class NoStablePoints(PitpulseError, ValueError):
    """Too few stable points to normalise the activity index; there is no silent fallback."""


class AlreadyExists(PitpulseError, FileExistsError):
    """Something is at the place to write to and must not be replaced unasked."""


def brief(error: BaseException) -> str:
    """What a library's error says, fit for a message: a line of at most 200 characters, for some quote their input."""
    lines = str(error).splitlines()
    return lines[0][:200] if lines and lines[0] else type(error).__name__
