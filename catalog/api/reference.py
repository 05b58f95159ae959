"""The description of the API: OpenAPI, and a page made from it that needs no script and no other host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

_PROBLEM = {
    "type": "object",
    "required": ["code", "description"],
    "properties": {"code": {"type": "string"}, "description": {"type": "string"}},
}


def _error(description: str) -> dict:
    return {"description": description, "content": {"application/json": {"schema": _PROBLEM}}}


ERRORS: dict = {
    400: _error("The request can't be understood; `description` says what to change"),
    404: _error("There is no such thing"),
    413: _error("The body is too long"),
    414: _error("The address is too long"),
    503: _error("The published folder can't be read just now, or too many searches are under way"),
}
_FILE = {
    "206": {"description": "The byte ranges that were asked for"},
    "304": {"description": "Not changed"},
    "416": _error("No byte of the file is in the range"),
}
_INTRODUCTION = (
    "Search of mine activity by STAC API 1.0: place, time, and CQL2 on the properties that /queryables lists. "
    "Pages are followed by their `next` link; files of the items are under /files."
)


def describe(app: FastAPI) -> dict:
    """OpenAPI 3.1 of the application; made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=_INTRODUCTION, routes=app.routes)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["responses"].pop("422", None)  # ours are 400
                if path.startswith("/files/"):
                    operation["responses"] |= _FILE
                    operation["responses"]["200"]["content"] = {"*/*": {}}
                elif path == "/":
                    operation["responses"]["303"] = {"description": "For a browser: the map"}
        schemas = document.get("components", {}).get("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema


def page_of(document: Mapping) -> str:
    """The description as a page."""
    info = document["info"]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(info["title"])} API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{escape(info['title'])} API {escape(info['version'])}</h1>"
        f"<p>{escape(info['description'])}</p>{''.join(_operations(document))}</main></body></html>"
    )


def _operations(document: Mapping) -> Iterator[str]:
    tag = None
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if operation.get("tags", [""])[0] != tag:
                tag = operation.get("tags", [""])[0]
                yield f"<h2>{escape(tag)}</h2>"
            shown = escape(path)
            if method == "get" and "{" not in path:
                shown = f'<a href=".{shown}">{shown}</a>'  # relative: right below any prefix
            yield f"<h3><code>{method.upper()}</code> {shown}</h3><p>{escape(operation.get('summary', ''))}</p>"
            given = [*operation.get("parameters", ()), *_members(document, operation)]
            if given:
                yield f"<table><tr><th>Name</th><th>Meaning</th></tr>{''.join(map(_row, given))}</table>"


def _members(document: Mapping, operation: Mapping) -> list[dict]:
    """Members of a body, as if they were parameters."""
    content = operation.get("requestBody", {}).get("content", {})
    name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    members = document.get("components", {}).get("schemas", {}).get(name, {}).get("properties", {})
    return [
        {"name": key, "schema": schema, "description": schema.get("description", "")} for key, schema in members.items()
    ]


def _row(parameter: Mapping) -> str:
    schema = parameter.get("schema", {})
    examples = schema.get("examples") or [e for s in schema.get("anyOf", ()) for e in s.get("examples", ())]
    words = parameter.get("description") or schema.get("description", "")
    shown = f"<br><code>{escape(str(examples[0]))}</code>" if examples else ""
    return f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{escape(words)}{shown}</td></tr>"


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;color:#1a1a1a;background:#fff;margin:0}"
    "main{max-width:48rem;margin:auto;padding:1rem}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ddd}"
    "code{overflow-wrap:anywhere}a{color:#0b5394}"
)
