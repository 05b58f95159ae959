"""A read-only STAC API over a published folder: search of its index, and its files beside it.

from catalog.api import ApiSettings, create_app
app = create_app("products", ApiSettings(max_limit=500))   # an ASGI application, for uvicorn or any other server

Needs FastAPI and orjson, which `pip install "pitpulse[serve]"` brings.
"""

from .app import create_app
from .settings import ApiSettings

__all__ = ["ApiSettings", "create_app"]
