"""Tables of the Secure Context Layer: sealed values by token, and who had them opened."""

from datetime import datetime

from sqlalchemy import Column, Index, LargeBinary
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from agentflow.tables import timestamp_column


class VaultTokenRow(SQLModel, table=True):
    """A value of a tenant behind its token. The tenant is part of the key, and of the encryption."""

    __tablename__ = "vault_tokens"

    org_id: str = Field(primary_key=True)
    token: str = Field(primary_key=True)
    kind: str
    #: Nonce, ciphertext and tag of AES-256-GCM.
    sealed: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = Field(sa_column=timestamp_column())


class DetokenisationRow(SQLModel, table=True):
    """One act of putting values back in place of tokens: where and how many, never which."""

    __tablename__ = "scl_detokenisations"
    __table_args__ = (Index("ix_scl_detokenisations_org_id_run_id", "org_id", "run_id"),)

    audit_id: str = Field(primary_key=True)
    org_id: str
    run_id: str
    node_id: str
    #: Distinct tokens that were opened.
    tokens: int
    #: Kind → distinct tokens of it.
    kinds: dict[str, int] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=timestamp_column())
