"""Index pages over HTTP as folders: links to follow and files to read, below one URL and nowhere else."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from ..errors import Unavailable
from ..storage import public_url

MAX_PAGE = 128 * 1024 * 1024  # bytes; ten years of orbit files on one page take 30 MB
TIMEOUT = 30.0  # s, for an answer to begin
ATTEMPTS = 4
TRANSIENT = (429, 500, 502, 503, 504)
_LINK = re.compile(r"""href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+))""", re.IGNORECASE)


@dataclass(eq=False)
class HttpIndex:
    """Folders and files below a URL, whose pages link to what is in them.

    Parameters
    ----------
    root : str
        URL of the first page; user and password in it are used and never shown.
    backoff : float
        s before the second attempt but one; it doubles from then on.
    """

    root: str = field(repr=False)
    backoff: float = 0.5
    _folders: set[str] = field(default_factory=set, repr=False)
    _session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self):
        parts = urlsplit(self.root)
        path = parts.path if parts.path.endswith(("/", ".html", ".htm")) else f"{parts.path}/"
        self.root = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        retry = Retry(
            total=ATTEMPTS - 1,
            backoff_factor=self.backoff,
            status_forcelist=TRANSIENT,
            allowed_methods=None,
            raise_on_status=False,
            respect_retry_after_header=False,  # it may ask for hours
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=16))

    @property
    def url(self) -> str:
        """For messages."""
        return public_url(self.root)

    def list(self, path: str = "") -> list[str]:
        """Names that a page links to below itself, sorted; folders are remembered.

        Raises
        ------
        Unavailable
            No page is there, it is refused, or endless.
        """
        page = self._address(path, folder=True)
        with self._answer("GET", page, "list") as answer:
            base = answer.url  # it may have been sent elsewhere on the way
            text = _read(answer, MAX_PAGE).decode(errors="replace")
        if len(text) > MAX_PAGE:
            raise Unavailable(f"can't list {public_url(page)}: its page has more than {MAX_PAGE} bytes; refused")
        here, found = urlsplit(urljoin(base, ".")), set()
        for match in _LINK.finditer(text):
            there = urlsplit(urljoin(base, html.unescape(next(filter(None, match.groups()), ""))))
            if (there.scheme, there.hostname, there.port) != (here.scheme, here.hostname, here.port):
                continue
            inner = there.path.removeprefix(here.path)
            name, slash, rest = inner.partition("/")
            if inner == there.path or not name or rest or unquote(name) in ("..", "."):
                continue
            name = unquote(name)
            if "/" in name:
                continue
            found.add(name)
            if slash:
                self._folders.add(f"{path}/{name}" if path else name)
        return sorted(found)

    def is_folder(self, path: str = "") -> bool:
        """True where a page linked to it with a final slash."""
        return not path or path in self._folders

    def read_bytes(self, path: str = "", limit: int | None = None) -> bytes:
        """Content of a file, of at most ``limit + 1`` bytes of it; `Unavailable` where it can't be read whole."""
        with self._answer("GET", self._address(path), "read") as answer:
            return _read(answer, limit)

    def state(self, path: str) -> str:
        """Length and what the server states of a file's version; `Unavailable` where it can't be asked."""
        with self._answer("HEAD", self._address(path), "read") as answer:
            facts = answer.headers
            stated = facts.get("ETag") or facts.get("Last-Modified") or ""
            return f"{facts.get('Content-Length', '')} {stated}".strip()

    def _address(self, path: str, folder: bool = False) -> str:
        quoted = "/".join(requests.utils.quote(part, safe="") for part in path.split("/"))
        return urljoin(self.root, f"{quoted}/" if folder else quoted) if path else self.root

    @contextmanager
    def _answer(self, method: str, address: str, verb: str) -> Iterator[requests.Response]:
        """A good answer; anything else becomes `Unavailable`."""
        shown = public_url(address)
        try:
            with self._session.request(method, address, timeout=TIMEOUT, stream=True) as answer:
                if answer.status_code >= 400:
                    raise Unavailable(
                        f"can't {verb} {shown}: status {answer.status_code} after up to {ATTEMPTS} attempts; check the "
                        "URL and that it needs no login, or try again later"
                    )
                yield answer
        except Unavailable:
            raise
        except (requests.RequestException, ValueError) as error:
            kind = type(error).__name__  # its text may repeat what the URL hides
            raise Unavailable(f"can't {verb} {shown}: {kind}; check the URL and the network") from error


def _read(answer: requests.Response, limit: int | None) -> bytes:
    """The body, of at most ``limit + 1`` bytes, and not less than the server promised."""
    parts, size = [], 0
    for part in answer.iter_content(1 << 18):
        parts.append(part)
        size += len(part)
        if limit is not None and size > limit:
            return b"".join(parts)[: limit + 1]
    return b"".join(parts)
