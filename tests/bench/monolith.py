"""Yardstick of the whole: what one would write instead of five services, with the same promises for two hot routes.

One FastAPI process on PostgreSQL. A write checks the token and the body, claims the idempotency key, finds the device
of the company, takes from guarded balances, books double entries, writes the event into an outbox and commits. A read
checks the token and lists a balance. It is set up as one would for speed: connections that stay open, reads without a
transaction around them, uvicorn with uvloop and httptools. Run by itself:
`BENCH_DATABASE=postgresql+psycopg2://... uvicorn --loop uvloop --http httptools tests.bench.monolith:app`.
"""

import hashlib
import os
import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import jwt
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.dialects.postgresql import insert

LICENSE_TYPES = ("registrations7", "softwarephones7")
COMPANY, PROJECT = "company-1", "project-1"
DEVICES = [f"device-{number}" for number in range(50)]
_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"bench").digest())

metadata = sa.MetaData()
devices = sa.Table(
    "devices", metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("company_id", sa.String(36), nullable=False),
    sa.Column("project_id", sa.String(36), nullable=False),
)  # fmt: skip
balances = sa.Table(
    "balances", metadata,
    sa.Column("project_id", sa.String(36), primary_key=True),
    sa.Column("license_type", sa.String(40), primary_key=True),
    sa.Column("quantity", sa.Integer, sa.CheckConstraint("quantity >= 0"), nullable=False),
)  # fmt: skip
lines = sa.Table(
    "device_licenses", metadata,
    sa.Column("device_id", sa.String(36), primary_key=True),
    sa.Column("license_type", sa.String(40), primary_key=True),
    sa.Column("quantity", sa.Integer, nullable=False),
)  # fmt: skip
transfers = sa.Table(
    "transfers", metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("device_id", sa.String(36), nullable=False),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
)  # fmt: skip
entries = sa.Table(
    "entries", metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("transfer_id", sa.String(36), sa.ForeignKey("transfers.id"), nullable=False),
    sa.Column("pool", sa.String(60), nullable=False),
    sa.Column("license_type", sa.String(40), nullable=False),
    sa.Column("quantity", sa.Integer, nullable=False),
)  # fmt: skip
commands = sa.Table(
    "commands", metadata,
    sa.Column("key", sa.String(80), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("answer", sa.JSON),
)  # fmt: skip
outbox = sa.Table(
    "outbox", metadata, sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("event", sa.JSON, nullable=False)
)

# More connections than requests at once: with fewer the pool would open and close sessions all the time.
_POOL_SIZE = 20


def connect(uri: str, *, autocommit: bool = False) -> sa.Engine:
    """Return an engine whose connections stay open.

    Args:
        uri: SQLAlchemy address of a PostgreSQL database.
        autocommit: let each statement stand alone, without BEGIN and ROLLBACK around it.
    """
    isolation = {"isolation_level": "AUTOCOMMIT"} if autocommit else {}
    return sa.create_engine(uri, pool_size=_POOL_SIZE, max_overflow=0, **isolation)


_URI = os.environ.get("BENCH_DATABASE", "postgresql+psycopg2://")
engine, reader = connect(_URI), connect(_URI, autocommit=True)


def fill(engine: sa.Engine) -> None:
    """Make the tables anew, with a stock that no run empties."""
    metadata.drop_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(devices.insert(), [{"id": d, "company_id": COMPANY, "project_id": PROJECT} for d in DEVICES])
        stock = [{"project_id": PROJECT, "license_type": t, "quantity": 10_000_000} for t in LICENSE_TYPES]
        connection.execute(balances.insert(), stock)


def make_token() -> str:
    """Return an access token of the company."""
    now = datetime.now(UTC)
    claims = {"sub": "user-1", "company": COMPANY, "iat": now, "exp": now + timedelta(hours=1)}
    return jwt.encode(claims, _KEY, algorithm="EdDSA")


class Line(BaseModel):
    """A license type and how many."""

    model_config = ConfigDict(extra="forbid", strict=True)
    license_type: str = Field(min_length=1, max_length=40)
    quantity: int = Field(ge=1, le=1_000_000)


class Assignment(BaseModel):
    """What goes onto the device."""

    model_config = ConfigDict(extra="forbid")
    licenses: list[Line] = Field(min_length=1, max_length=50)


def actor(authorization: Annotated[str, Header()]) -> dict[str, Any]:
    """Return the claims of the caller's token."""
    try:
        claims: dict[str, Any] = jwt.decode(
            authorization.removeprefix("Bearer "), _KEY.public_key(), algorithms=["EdDSA"]
        )
    except jwt.PyJWTError:
        raise HTTPException(401) from None
    return claims


app = FastAPI()


@app.post("/v1/devices/{device_id}/licenses", status_code=201)
def assign(
    device_id: str,
    body: Assignment,
    claims: Annotated[dict[str, Any], Depends(actor)],
    idempotency_key: Annotated[str, Header()],
) -> dict[str, Any]:
    """Assign licenses from the project's balance to a device."""
    fingerprint = hashlib.sha256(f"{device_id} {body.model_dump_json()}".encode()).hexdigest()
    with engine.begin() as connection:
        claim = insert(commands).values(key=idempotency_key, fingerprint=fingerprint)
        if connection.execute(claim.on_conflict_do_nothing()).rowcount == 0:
            return _replay(connection, idempotency_key, fingerprint)
        owned = sa.select(devices).where(devices.c.id == device_id, devices.c.company_id == claims["company"])
        device = connection.execute(owned).one_or_none()
        if device is None:
            raise HTTPException(404)
        transfer = str(uuid.uuid4())
        connection.execute(transfers.insert().values(id=transfer, device_id=device_id))
        booked: list[dict[str, Any]] = []
        for line in sorted(body.licenses, key=lambda line: line.license_type):
            _take(connection, device.project_id, line)
            _install(connection, device_id, line)
            common = {"transfer_id": transfer, "license_type": line.license_type}
            booked.append({**common, "pool": f"project:{device.project_id}", "quantity": -line.quantity})
            booked.append({**common, "pool": f"device:{device_id}", "quantity": line.quantity})
        connection.execute(entries.insert(), booked)
        answer = {"licenses": [line.model_dump() for line in body.licenses]}
        event = {"type": "licenses_assigned", "device": device_id, "by": claims["sub"], **answer}
        connection.execute(outbox.insert().values(event=event))
        connection.execute(commands.update().where(commands.c.key == idempotency_key).values(answer=answer))
    return answer


def _replay(connection: sa.Connection, key: str, fingerprint: str) -> dict[str, Any]:
    known = connection.execute(sa.select(commands).where(commands.c.key == key)).one()
    if known.fingerprint != fingerprint:
        raise HTTPException(422)
    stored: dict[str, Any] = known.answer
    return stored


def _take(connection: sa.Connection, project: str, line: Line) -> None:
    guarded = (
        balances.update()
        .where(
            balances.c.project_id == project,
            balances.c.license_type == line.license_type,
            balances.c.quantity >= line.quantity,
        )
        .values(quantity=balances.c.quantity - line.quantity)
    )
    if connection.execute(guarded).rowcount != 1:
        raise HTTPException(409)


def _install(connection: sa.Connection, device_id: str, line: Line) -> None:
    row = insert(lines).values(device_id=device_id, license_type=line.license_type, quantity=line.quantity)
    more = {"quantity": lines.c.quantity + row.excluded.quantity}
    connection.execute(row.on_conflict_do_update(index_elements=["device_id", "license_type"], set_=more))


@app.get("/v1/balance")
def balance(claims: Annotated[dict[str, Any], Depends(actor)]) -> dict[str, Any]:
    """List the balance of the company's projects."""
    own_projects = sa.select(devices.c.project_id).where(devices.c.company_id == claims["company"])
    with reader.connect() as connection:
        rows = connection.execute(
            sa.select(balances).where(balances.c.project_id.in_(own_projects)).order_by(balances.c.license_type)
        )
        items = [{"license_type": row.license_type, "quantity": row.quantity} for row in rows]
    return {"items": items}
