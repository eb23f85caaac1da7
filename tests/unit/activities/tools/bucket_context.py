"""What a tool may use, with buckets that are folders and content that is kept in memory."""

from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from activities.readers.document_readers import DocumentReaders
from agentflow.digest import sha256_hex
from agentflow.errors import BlobNotFound
from agentflow.settings import Settings


class BucketContext:
    """The context of an organisation whose settings have these buckets."""

    org_id = "org_test"
    idempotency_key = "agentflow-test"

    def __init__(self, buckets: dict[str, Path], *, max_document_bytes: int = 1_000_000) -> None:
        self.settings = Settings(
            buckets={name: folder.as_uri() for name, folder in buckets.items()}, max_document_bytes=max_document_bytes
        )
        self.readers = DocumentReaders(1024 * 1024 * 1024)
        #: Digest → content and media type.
        self.stored: dict[str, tuple[bytes, str]] = {}

    @property
    def session(self) -> AsyncSession:
        raise LookupError("these tools have no transaction")

    async def store(self, *, content: bytes, media_type: str) -> str:
        digest = sha256_hex(content)
        self.stored[digest] = (content, media_type)
        return digest

    async def load(self, digest: str) -> bytes:
        if digest not in self.stored:
            raise BlobNotFound(digest=digest)
        return self.stored[digest][0]
