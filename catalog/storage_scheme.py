"""Which object store the assets of an item lie in, as STAC's storage extension says it.

Hrefs are relative, so that the folder can be moved; the scheme says where it was published, and with it which endpoint
and region a program has to name to read the stores in place. Nothing secret enters it.
"""

from __future__ import annotations

import os

from pipeline.storage import Location, public_url

AWS = "https://{bucket}.s3.{region}.amazonaws.com"


def storage_scheme(root: Location) -> dict | None:
    """The scheme of a published folder in an S3 store; None for any other, and where AWS's region isn't known."""
    protocols = {root.fs.protocol} if isinstance(root.fs.protocol, str) else set(root.fs.protocol)
    if not protocols & {"s3", "s3a"}:
        return None
    settings = getattr(root.fs, "client_kwargs", None) or {}
    endpoint = getattr(root.fs, "endpoint_url", None) or settings.get("endpoint_url") or os.environ.get(
        "AWS_ENDPOINT_URL_S3", os.environ.get("AWS_ENDPOINT_URL")
    )  # fmt: skip
    region = settings.get("region_name") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    bucket = root.path.strip("/").split("/", 1)[0]
    if endpoint:
        scheme = {"type": "custom-s3", "platform": public_url(endpoint).rstrip("/") + "/{bucket}", "bucket": bucket}
        return scheme | ({"region": region} if region else {})
    return {"type": "aws-s3", "platform": AWS, "bucket": bucket, "region": region} if region else None
