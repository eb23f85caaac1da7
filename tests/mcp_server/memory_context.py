"""What a tool has of its worker, without one."""

from sqlalchemy.ext.asyncio import AsyncSession

from activities.readers.document_readers import DocumentReaders
from agentflow.digest import sha256_hex
from agentflow.settings import Settings


class MemoryContext:
    """Keeps content in a mapping."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.contents: dict[str, tuple[bytes, str]] = {}
        self.readers = DocumentReaders(1024 * 1024 * 1024)
        self._settings = settings or Settings()

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def org_id(self) -> str:
        return "org_test"

    @property
    def idempotency_key(self) -> str:
        return "agentflow-test"

    @property
    def session(self) -> AsyncSession:
        raise LookupError("these tools have no transaction")

    async def store(self, *, content: bytes, media_type: str) -> str:
        self.contents[sha256_hex(content)] = (content, media_type)
        return sha256_hex(content)

    async def load(self, digest: str) -> bytes:
        return self.contents[digest][0]
