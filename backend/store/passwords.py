"""Password hashes: argon2id, slow on purpose, so they are made and checked outside transactions."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from backend.domain.errors import InvalidInput

LEAST = 8
MOST = 200

# OWASP's second choice (19 MiB, 2 passes): a dozen logins at once must not cost a gigabyte.
_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# Checked when there is no such user, so that the answer takes as long as for a wrong password.
_NOBODY = _hasher.hash("nobody has this password")


def hash_password(password: str) -> str:
    """The hash to store. Raises `InvalidInput` for a password that is too short or too long."""
    if not LEAST <= len(password) <= MOST:
        trouble = InvalidInput("weak_password", least=LEAST, most=MOST)
        raise InvalidInput(fields={"password": trouble})
    return _hasher.hash(password)


def verify_password(stored: str | None, password: str) -> bool:
    """Whether the password is the stored one; takes the same time without one."""
    try:
        matches = _hasher.verify(stored or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return matches and stored is not None
