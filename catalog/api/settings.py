"""What a person who runs the server may choose."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from pipeline.errors import BadInput


@dataclass(frozen=True)
class ApiSettings:
    """Limits and addresses of the server.

    Attributes
    ----------
    public_url : str
        Address that links start with, such as ``https://example.org/mines``; what each request was sent to where empty.
    trust_forwarded : bool
        Believe ``X-Forwarded-Proto``, ``-Host`` and ``-Prefix``: only behind a proxy that always sets them.
    default_limit, max_limit : int
        Items of a page where the request doesn't say, and at most; a larger limit is lowered to it.
    max_body, max_url : int
        Bytes of a request's body, characters of its path and query.
    fresh_for : int
        Seconds for which a client may use an answer again without asking.
    look_again : float
        Seconds after which the server looks whether the index has changed.
    readers : int
        Searches at once; more wait.
    patience : float
        Seconds that a search waits for its turn before it is turned away.
    """

    public_url: str = ""
    trust_forwarded: bool = False
    default_limit: int = 10
    max_limit: int = 1000
    max_body: int = 256 * 1024
    max_url: int = 16 * 1024
    fresh_for: int = 60
    look_again: float = 2.0
    readers: int = 4
    patience: float = 20.0

    def __post_init__(self):
        if self.public_url and urlsplit(self.public_url).scheme not in ("http", "https"):
            raise BadInput(f"public_url must start with http:// or https://, instead got {self.public_url!r}")
        for name in ("default_limit", "max_limit", "max_body", "max_url", "readers"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, instead got {getattr(self, name)}")
        for name in ("fresh_for", "look_again", "patience"):
            if getattr(self, name) < 0:
                raise BadInput(f"{name} must not be negative, instead got {getattr(self, name)}")
        if self.default_limit > self.max_limit:
            raise BadInput(
                f"default_limit must be at most max_limit {self.max_limit}, instead got {self.default_limit}"
            )
