"""Password hashes: argon2id, slow on purpose, so they are made and checked outside transactions.

Imported bcrypt hashes are accepted too, until their user's next login replaces them.
"""

from __future__ import annotations

import re

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from backend.domain.errors import InvalidInput

LEAST = 8
MOST = 200
# bcrypt never looked further; the library now refuses what its users' other programs cut off.
BCRYPT_BYTES = 72
# A cost of 16 is a second and more for each login, of 31 a day.
BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-5])\$[./A-Za-z0-9]{53}")

# OWASP's second choice (19 MiB, 2 passes): a dozen logins at once must not cost a gigabyte.
_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
# Checked when there is no such user, so that the answer takes as long as for a wrong password.
_NOBODY = _hasher.hash("nobody has this password")
# With WeRSS's cost, 12; its text is no password's hash that anybody knows.
_NOBODY_IMPORTED = "$2b$12$" + "." * 21 + "O" + "." * 31


def hash_password(password: str) -> str:
    """The hash to store. Raises `InvalidInput` for a password that is too short or too long."""
    if not LEAST <= len(password) <= MOST:
        trouble = InvalidInput("weak_password", least=LEAST, most=MOST)
        raise InvalidInput(fields={"password": trouble})
    return _hasher.hash(password)


def verify_password(stored: str | None, password: str, *, imported_exist: bool = False) -> bool:
    """Whether the password is the stored one; takes the same time without one.

    `imported_exist` (somebody has a bcrypt hash): every check then costs both kinds, so that the time says nothing
    about who exists and who was imported.
    """
    if stored and BCRYPT.fullmatch(stored):
        _argon2_matches(_NOBODY, password)
        return _bcrypt_matches(stored, password)
    if imported_exist:
        _bcrypt_matches(_NOBODY_IMPORTED, password)
    return _argon2_matches(stored or _NOBODY, password) and stored is not None


def is_imported(stored: str) -> bool:
    """Whether it is a bcrypt hash that can be checked: of a cost that a login can afford."""
    return BCRYPT.fullmatch(stored) is not None


def renewed_hash(stored: str, password: str) -> str | None:
    """A hash of today's kind for a password that was just found right; `None` when the stored one is of that kind.

    It makes no demands on the password: its owner could otherwise not log in any more.
    """
    if is_imported(stored) or _hasher.check_needs_rehash(stored):
        return _hasher.hash(password)
    return None


def _argon2_matches(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _bcrypt_matches(stored: str, password: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], stored.encode())
    except ValueError:
        # A salt or a password that the library refuses.
        return False
