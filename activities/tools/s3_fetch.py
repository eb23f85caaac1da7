"""`s3.fetch`: a document from any object store or folder, as text or as a reference to its bytes."""

from collections.abc import Mapping
from typing import Any

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from activities.errors import DocumentNotFound, DocumentTooLarge, LocationDenied, ToolFailed
from activities.tools.document_text import media_type_of
from activities.tools.documents import AS_SCHEMA, Fetched, given_as
from activities.tools.locations import Location, buckets_of, locate
from activities.tools.tool import Tool, ToolContext
from runs.signatures import StepSignature

_NAME = "s3.fetch"
_TEXT = {"type": "string", "minLength": 1, "maxLength": 2048}


async def _fetch(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
    buckets = buckets_of(context.settings.buckets, org_id=context.org_id)
    location = locate(buckets, bucket=arguments.get("bucket"), key=arguments.get("key"), url=arguments.get("url"))
    content = await _read(location, limit_bytes=context.settings.max_document_bytes)
    media_type = media_type_of(content, name=location.name)
    fetched = Fetched(content=content, media_type=media_type, name=location.name)
    return await given_as(context, fetched, arguments.get("as", "text"))


async def _read(location: Location, *, limit_bytes: int) -> bytes:
    try:
        store = from_url(location.prefix)
        found = await obstore.get_async(store, location.key)
        size = int(found.meta["size"])
        if size > limit_bytes:
            raise DocumentTooLarge(location=str(location), size_bytes=size, limit_bytes=limit_bytes)
        return bytes(await found.bytes_async())
    except FileNotFoundError as error:
        raise DocumentNotFound(location=str(location)) from error
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        # Without the cause: an object store's message quotes the signed request.
        reason = f"the store refuses the credentials ({type(error).__name__})"
        raise LocationDenied(location=str(location), reason=reason) from None
    except (BaseError, OSError, ValueError) as error:
        raise ToolFailed(tool=_NAME, reason=f"{location}: {type(error).__name__}") from None


S3_FETCH = Tool(
    is_inside=True,
    signature=StepSignature(
        name=_NAME,
        description="Fetches a document from a configured bucket: its text, its JSON, or a reference to it (`as`).",
        input_schema={
            "type": "object",
            "properties": {
                "bucket": {**_TEXT, "description": "A name of the setting BUCKETS."},
                "key": {**_TEXT, "description": "The document's path below the bucket."},
                "url": {**_TEXT, "description": "Instead of both: a URL below a bucket's prefix."},
                "as": AS_SCHEMA,
            },
            "additionalProperties": False,
            "oneOf": [{"required": ["bucket", "key"]}, {"required": ["url"]}],
        },
        # A text, JSON or a reference, as `as` says.
        output_schema=None,
    ),
    call=_fetch,
)
