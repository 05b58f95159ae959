"""CQL2 as it comes, text or JSON, to a tree of operators that is safe to evaluate.

Text goes through the ``cql2`` parser. What it is given is limited first: on some thousand nested brackets or operators
it overflows its stack, which ends the process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from pipeline.errors import BadInput

MAX_TEXT = 10_000  # characters
MAX_DEPTH = 50
MAX_NODES = 5_000
MAX_TEXT_NESTING = 300  # 800 operators in a row overflow a stack of 512 kB, 5,000 brackets one of 8 MB
_GEOMETRY_TYPES = frozenset(
    ("Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon", "GeometryCollection")
)


def read_filter(source: str | Mapping) -> dict | bool:
    """The tree of a filter in CQL2 text, CQL2 JSON or a mapping.

    Raises
    ------
    BadInput
        It isn't CQL2, with the line and column, or the path within the JSON; or it is too long or too deep.
    """
    if not isinstance(source, str):
        tree = source
    elif source.lstrip().startswith("{"):
        try:
            tree = json.loads(source)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"the filter is no JSON: {error}; write it as CQL2 JSON or CQL2 text") from error
    else:
        tree = _parsed(source)
    _check(tree)
    return tree


def _parsed(text: str) -> dict | bool:
    import cql2  # 5 ms and 13 MB that only a filter in text needs

    if len(text) > MAX_TEXT:
        raise BadInput(
            f"a filter must have at most {MAX_TEXT} characters, instead got {len(text)}; ask for less at once"
        )
    if _nesting(text) > MAX_TEXT_NESTING:
        raise BadInput("the filter nests too many brackets or operators; simplify it, or send it as CQL2 JSON")
    try:
        return cql2.parse_text(text).to_json()
    except cql2.ParseError as error:
        raise BadInput(_where(text, str(error))) from error


def _nesting(text: str) -> int:
    """A bound on how deep the parser will go: brackets, and operators that follow each other within them.

    Up to three signs between commas cost nothing: they are those of a point's coordinates.
    """
    bare = re.sub(r"'(?:[^']|'')*'|\"[^\"]*\"", "''", text).lower()
    depth = deepest = 0
    for bracket in re.findall(r"[()]", bare):
        depth += 1 if bracket == "(" else -1
        deepest = max(deepest, depth)
    parts = re.split(r"[,()]|\band\b|\bor\b", bare)
    chains = (len(re.findall(r"[-+*/%^]|[<>=]+|\b(?:not|is|like|in|between|div)\b", part)) for part in parts)
    return 5 * deepest + sum(max(0, length - 3) for length in chains)


def _where(text: str, message: str) -> str:
    """The parser's complaint in one line, with the place."""
    place = re.search(r"--> (\d+):(\d+)", message)
    expected = re.search(r"= (expected .*)", message)
    if not place:
        return f"the filter {text!r} is no CQL2: {message.splitlines()[0] if message else 'unreadable'}"
    line, column = int(place[1]), int(place[2])
    lines = text.splitlines() or [""]
    found = lines[line - 1][column - 1 :][:20] if line <= len(lines) else ""
    said = expected[1] if expected else "expected an expression"
    instead = f"instead got {found!r}" if found else "instead it ends there"
    return f"the filter is no CQL2 at line {line}, column {column}: {said}, {instead}"


def _check(tree) -> None:
    """Refuse what no evaluation should meet: anything too deep, too long or not of the form {op, args}."""
    waiting, count = [(tree, "filter", 0)], 0
    while waiting:
        node, path, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_NODES:
            raise BadInput(
                f"a filter must nest at most {MAX_DEPTH} deep and have at most {MAX_NODES} parts; simplify it"
            )
        if isinstance(node, Mapping):
            waiting += _children(node, path, depth)
        elif isinstance(node, list | tuple):
            waiting += [(inner, f"{path}[{k}]", depth) for k, inner in enumerate(node)]
        elif not isinstance(node, str | int | float | bool | None):
            raise BadInput(f"{path} must be JSON, instead got {type(node).__name__}")


def _children(node: Mapping, path: str, depth: int) -> list[tuple]:
    if "op" in node:
        if not isinstance(node["op"], str) or not isinstance(node.get("args"), list):
            raise BadInput(f'{path} must be {{"op": name, "args": [...]}}, instead got {shown(node)}')
        return [(inner, f"{path}.args[{k}]", depth + 1) for k, inner in enumerate(node["args"])]
    if "property" in node:
        if not isinstance(node["property"], str):
            raise BadInput(f"{path}.property must be a name, instead got {shown(node['property'])}")
        return []
    if "interval" in node:
        ends = node["interval"]
        if not isinstance(ends, list) or len(ends) != 2:
            raise BadInput(f"{path}.interval must have two ends, instead got {shown(ends)}")
        return [(end, f"{path}.interval[{k}]", depth + 1) for k, end in enumerate(ends)]
    if {"date", "timestamp", "bbox"} & node.keys() or node.get("type") in _GEOMETRY_TYPES:
        return []
    raise BadInput(f"{path} must be an operator, a property, a date, a geometry or a value, instead got {shown(node)}")


def shown(node) -> str:
    """A part of a filter for a message, cut where it is long."""
    text = json.dumps(node, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
