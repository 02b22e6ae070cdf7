"""Identifiers: UUIDv7 for what leaves the database, slugs for queues, hashes for keys."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import unicodedata
from datetime import UTC, datetime
from uuid import UUID

import uuid6

SLUG = re.compile(r"^[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?$")
RESERVED_SLUGS = frozenset({"parent"})
KEY_CHARACTERS = 32
UUIDV7 = 7
KEY_ALPHABET = string.ascii_letters + string.digits


def new_id() -> str:
    """A fresh UUIDv7: sortable by time of making, so that inserts go to the end of an index."""
    return str(uuid6.uuid7())


def made_at(identifier: str) -> datetime:
    """When a UUIDv7 was made, to the millisecond. Raises `ValueError` for what is none."""
    drawn = UUID(identifier)
    if drawn.version != UUIDV7:
        raise ValueError("only a UUIDv7 tells its time")
    return datetime.fromtimestamp((drawn.int >> 80) / 1000, UTC)


def slug_for(name: str, node_id: str) -> str:
    """The stored slug of a node's name: ASCII letters, digits and dashes, or `n-<short id>` when it has none."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().casefold()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:48].strip("-")
    if not re.search(r"[a-z]", slug) or slug in RESERVED_SLUGS:
        return f"n-{node_id.replace('-', '')[-12:]}"
    return slug


def digest(*parts: str) -> str:
    """SHA-256 of the parts, as 64 hexadecimal digits; parts cannot run into each other."""
    hasher = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        hasher.update(len(encoded).to_bytes(8, "big"))
        hasher.update(encoded)
    return hasher.hexdigest()


def draw_key(prefix: str) -> str:
    """A new key or secret: the prefix and 32 random characters, 62^32 possibilities."""
    return prefix + "".join(secrets.choice(KEY_ALPHABET) for _ in range(KEY_CHARACTERS))


def is_key(text: str, prefix: str) -> bool:
    """Whether the text looks like a key with that prefix."""
    characters = text.removeprefix(prefix)
    return (
        text.startswith(prefix) and len(characters) == KEY_CHARACTERS and set(characters) <= set(KEY_ALPHABET)
    )


def hash_secret(secret: str) -> str:
    """What is stored of a drawn secret: SHA-256 in hex, as WeRSS stores it. It is random, so it needs no salt."""
    return hashlib.sha256(secret.encode()).hexdigest()


def first_id_of(moment: datetime) -> str:
    """The smallest UUIDv7 that could have been made at the moment: ids made before it are smaller."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    text = f"{milliseconds:012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"
