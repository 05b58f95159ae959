"""XML from places that anybody may write to: parsed only within limits, each value checked against its range.

Python's expat keeps no entity here and builds nothing before the document's marks are counted; a value is held against
the table in `limits` by the name of its element.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import islice
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from ..errors import BadProduct, brief
from ..limits import FIRST_YEAR, LAST_YEAR, RECORDS, WORD, XML_BYTES, XML_MARKS, XML_NAMES, range_of, within

_TIME = re.compile(r"(\d{4})-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,18})?", re.ASCII)
# Also where it overlaps another: text that looks like an attribute must not hide one.
_ATTRIBUTE = re.compile(rb"""(?==\s*("[^"]*"|'[^']*'))""")


class Node:
    """An XML element that knows the file it came from, so that whatever is missing or unreadable is named."""

    def __init__(self, element: Element, name: str):
        self.element, self.name = element, name

    def all(self, path: str, required: bool = True, most: int = RECORDS) -> list[Node]:
        """The elements at a path, at least one where ``required`` and never more than ``most``."""
        found = [Node(e, self.name) for e in islice(self.element.iterfind(path), most + 1)]
        if required and not found:
            raise BadProduct(f"{self.name}: expected at least one <{path}>, found none; the product is incomplete")
        if len(found) > most:
            raise BadProduct(f"{self.name}: expected at most {most} <{path}>, found more; refused")
        return found

    def one(self, path: str) -> Node:
        """The first element at a path."""
        return self.all(path)[0]

    def text(self, path: str, longest: int = WORD) -> str:
        """The text of the element at a path, stripped, never empty."""
        text = self.element.findtext(path)
        if text is None or not text.strip():
            raise BadProduct(f"{self.name}: expected a value in <{path}>, found none; the product is incomplete")
        if len(text) > longest:
            raise BadProduct(f"{self.name}: expected at most {longest} characters in <{path}>, found {len(text)}")
        return text.strip()

    def word(self, path: str, known: Collection[str]) -> str:
        """One of some words, in the case of these."""
        found = {word.lower(): word for word in known}.get(self.text(path).lower())
        if found is None:
            raise BadProduct(f"{self.name}: expected {' or '.join(known)} in <{path}>, found {self.text(path)[:60]!r}")
        return found

    def convert(self, path: str, kind, what: str, longest: int = WORD):
        """The text as ``kind`` makes it; what that refuses by ValueError or OverflowError is a `BadProduct`."""
        text = self.text(path, longest)
        try:
            return kind(text)
        except (ValueError, OverflowError) as error:
            raise BadProduct(f"{self.name}: expected {what} in <{path}>, found {text[:60]!r}") from error

    def number(self, path: str) -> float:
        """A number in the range that `limits` has for the element."""
        return self._ranged(path, self.convert(path, float, "a number"))

    def integer(self, path: str) -> int:
        """A whole number in the range that `limits` has for the element."""
        return self._ranged(path, self.convert(path, int, "a whole number"))

    def _ranged(self, path: str, value):
        name = (self.element.tag if path == "." else path).rsplit("/", 1)[-1].rsplit("}", 1)[-1]
        if not within(name, value):
            raise BadProduct(f"{self.name}: expected {range_of(name)} in <{name}>, found {str(value)[:60]}")
        return value

    def time(self, path: str) -> np.datetime64:
        """A UTC instant, datetime64[ns]."""
        return self.convert(path, utc, f"a UTC time of {FIRST_YEAR} to {LAST_YEAR}")

    def vector(self, path: str, dtype, most: int) -> np.ndarray:
        """A list of numbers; of at most 32 characters each, before any is looked at."""
        values = self.convert(path, lambda text: np.array(text.split(), dtype), "numbers", 32 * most)
        if values.size > most:
            raise BadProduct(f"{self.name}: expected at most {most} numbers in <{path}>, found {values.size}")
        return values


def read_xml(xml: bytes, name: str, limit: int = XML_BYTES) -> Element:
    """Root element of a document without entities; nothing of it is built before its length and marks are counted.

    Parameters
    ----------
    xml : bytes
        The document, in an encoding that has ASCII's characters where ASCII has them.
    name : str
        How messages call it.
    limit : int
        Bytes that it may have.

    Raises
    ------
    BadProduct
        It is unreadable, too long or hostile.
    """
    problem = None
    if len(xml) > limit:
        problem = f"at most {limit} bytes of XML, found more; it isn't a Sentinel-1 file"
    elif b"\0" in xml:  # no character of XML, but part of every one in UTF-16, in which marks couldn't be counted
        problem = "XML in UTF-8, found bytes of zero"
    elif (marks := xml.count(b"<") + xml.count(b"=")) > XML_MARKS:
        problem = f"at most {XML_MARKS} tags and attributes, found {marks}; it isn't a Sentinel-1 file"
    elif marks * max((m.end(1) - m.start(1) for m in _ATTRIBUTE.finditer(xml)), default=0) > XML_NAMES:
        problem = "short names of namespaces, found one that many tags would repeat; refused"
    if problem:
        raise BadProduct(f"{name}: expected {problem}")
    try:
        return fromstring(xml, forbid_dtd=True)
    except DefusedXmlException as error:
        raise BadProduct(f"{name}: expected plain XML, found a document type or entity declaration; refused") from error
    except (ParseError, ValueError, LookupError) as error:
        raise BadProduct(
            f"{name}: expected XML, found something unreadable ({brief(error)}); download the product again"
        ) from error


def utc(text: str) -> np.datetime64:
    """A UTC instant as in ``2021-06-24T17:24:51.123456``, with or without a final Z, datetime64[ns].

    Raises
    ------
    ValueError
        It is none, or of a year in which no Sentinel-1 flies: numpy would count some of those round the clock.
    """
    match = _TIME.fullmatch(text.removesuffix("Z"))
    if match is None or not FIRST_YEAR <= int(match[1]) <= LAST_YEAR:
        raise ValueError(f"not a time of {FIRST_YEAR} to {LAST_YEAR}: {text[:60]!r}")
    return np.datetime64(match[0], "ns")
