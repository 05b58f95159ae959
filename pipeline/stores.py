"""What a store needs beyond its URL, by the URL's beginning: an environment variable, and never a secret.

    PITPULSE_STORES='{"s3://eodata/": {"endpoint": "https://eodata.dataspace.copernicus.eu", "region": "default",
                      "profile": "cdse"}, "s3://copernicus-dem-30m/": {"anonymous": true, "region": "eu-central-1"}}'

The longest beginning that fits a URL counts. Credentials come from the environment (``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_SESSION_TOKEN``), from a profile of the user's AWS files, or from the machine's role:
where they are used, and from nowhere else.
"""

from __future__ import annotations

import json
import os
import re

from .errors import BadInput

VARIABLE = "PITPULSE_STORES"
NAMES = {"endpoint": str, "region": str, "anonymous": bool, "requester_pays": bool, "profile": str}
_SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)


def store_options(url: str) -> dict:
    """Options of the file system for a URL; empty for what isn't S3.

    Raises
    ------
    BadInput
        The environment variable holds something else than stores by URL, or a secret.
    """
    if not url.startswith(("s3://", "s3a://")):
        return {}
    options: dict = {"use_listings_cache": False}  # a cached listing hides what another worker has written
    text = os.environ.get(VARIABLE, "")
    stores = read_stores(text) if text else {}
    fitting = [prefix for prefix in stores if url.startswith(prefix)]
    if not fitting:
        return options
    facts = stores[max(fitting, key=len)]
    if "endpoint" in facts:
        options["endpoint_url"] = facts["endpoint"]
    if "region" in facts:
        options["client_kwargs"] = {"region_name": facts["region"]}
    for name, of_driver in (("anonymous", "anon"), ("requester_pays", "requester_pays"), ("profile", "profile")):
        if name in facts:
            options[of_driver] = facts[name]
    return options


def read_stores(text: str) -> dict[str, dict]:
    """Settings by the beginning of a URL, checked; a value is never repeated in a message, for it may be a secret."""
    try:
        stores = json.loads(text)
    except ValueError as error:
        raise BadInput(
            f"{VARIABLE} must be JSON ({error.__class__.__name__}); expected {{URL: {{NAME: VALUE}}}}"
        ) from None
    if not isinstance(stores, dict) or not all(isinstance(facts, dict) for facts in stores.values()):
        raise BadInput(f"{VARIABLE} must be an object of objects, {{URL: {{NAME: VALUE}}}}, instead got something else")
    for prefix, facts in stores.items():
        if not prefix.startswith(("s3://", "s3a://")):
            raise BadInput(f"{VARIABLE}: a store must begin with s3://, instead got {prefix.split('@')[-1]!r}")
        for name, value in facts.items():
            if _SECRET.search(name):
                raise BadInput(
                    f"{VARIABLE}: {prefix} names {name!r}; secrets don't belong there: set AWS_ACCESS_KEY_ID and "
                    f"AWS_SECRET_ACCESS_KEY in the environment, or name a profile"
                )
            if name not in NAMES:
                raise BadInput(f"{VARIABLE}: {prefix} must have settings of {', '.join(NAMES)}, instead got {name!r}")
            if not isinstance(value, NAMES[name]):
                raise BadInput(
                    f"{VARIABLE}: {prefix} {name} must be a {NAMES[name].__name__}, instead got another kind"
                )
    return stores
