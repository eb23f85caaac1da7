"""The kernel's tables: who may come in, and content by its digest."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, Index, LargeBinary, text
from sqlmodel import Field, SQLModel


def timestamp_column(*, nullable: bool = False) -> Column[datetime]:
    """A `timestamptz` column: every instant that is stored is aware."""
    return Column(DateTime(timezone=True), nullable=nullable)


class OrganisationRow(SQLModel, table=True):
    """A tenant."""

    __tablename__ = "organisations"

    org_id: str = Field(primary_key=True)
    name: str
    created_at: datetime = Field(sa_column=timestamp_column())


class ApiKeyRow(SQLModel, table=True):
    """A key of a tenant; only its hash is stored."""

    __tablename__ = "api_keys"

    key_id: str = Field(primary_key=True)
    org_id: str = Field(foreign_key="organisations.org_id", index=True)
    name: str
    #: SHA-256 of the secret, which is 256 random bits: no slow hash is needed (NIST SP 800-63B, look-up secrets).
    secret_digest: str = Field(unique=True)
    created_at: datetime = Field(sa_column=timestamp_column())
    revoked_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class BlobRow(SQLModel, table=True):
    """Content of a tenant by its digest. The tenant is part of the key: equal content is not shared across tenants."""

    __tablename__ = "blobs"

    org_id: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    media_type: str
    size_bytes: int = Field(sa_column=Column(BigInteger, nullable=False))
    #: The content itself, or NULL when it lies in the object store.
    content: bytes | None = Field(default=None, sa_column=Column(LargeBinary))
    #: The object's name below BLOB_STORE_URL, or NULL when the content is here.
    location: str | None = None
    created_at: datetime = Field(sa_column=timestamp_column())
    #: When it was last asked to be stored, give or take an hour: what nothing refers to stays for a while after that.
    touched_at: datetime = Field(
        sa_column=Column(DateTime(timezone=True), nullable=False, server_default=text("now()"))
    )


class BlobHoldRow(SQLModel, table=True):
    """Content that a run needs and that no column names: documents whose digests stand inside other content."""

    __tablename__ = "blob_holds"
    __table_args__ = (Index("ix_blob_holds_run", "org_id", "run_id"),)

    org_id: str = Field(primary_key=True)
    digest: str = Field(primary_key=True)
    run_id: str = Field(primary_key=True)


class DatabaseIdentityRow(SQLModel, table=True):
    """One row, made with the schema: what tells this database, and its copies, from every other."""

    __tablename__ = "database_identity"

    database_id: str = Field(primary_key=True)


class HousekeepingTurnRow(SQLModel, table=True):
    """When a kind of housekeeping was last begun, so that of many workers one does it."""

    __tablename__ = "housekeeping_turns"

    name: str = Field(primary_key=True)
    taken_at: datetime = Field(sa_column=timestamp_column())
