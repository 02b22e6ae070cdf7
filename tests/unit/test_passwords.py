"""Password hashes."""

from __future__ import annotations

import bcrypt
import pytest

from backend.domain.errors import InvalidInput
from backend.store.passwords import (
    LEAST,
    MOST,
    hash_password,
    is_imported,
    renewed_hash,
    verify_password,
)

# Cost 4 is the least that bcrypt knows: these tests are about truth, not about time.
IMPORTED = bcrypt.hashpw(b"short", bcrypt.gensalt(4)).decode()


def test_a_hash_is_argon2id_salted_and_matches_its_password_only() -> None:
    first, second = hash_password("correct horse"), hash_password("correct horse")
    assert first.startswith("$argon2id$")
    assert first != second
    assert verify_password(first, "correct horse")
    assert not verify_password(first, "correct horsf")


def test_without_a_stored_hash_nothing_matches() -> None:
    assert not verify_password(None, "nobody has this password")
    assert not verify_password("", "")
    assert not verify_password("no hash", "anything")


@pytest.mark.parametrize("password", ["", "p" * (LEAST - 1), "p" * (MOST + 1)])
def test_a_password_has_a_least_and_a_greatest_length(password: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        hash_password(password)
    assert refused.value.fields.keys() == {"password"}


def test_an_imported_bcrypt_hash_matches_its_password_only() -> None:
    assert is_imported(IMPORTED)
    assert verify_password(IMPORTED, "short")
    assert verify_password(IMPORTED.replace("$2b$", "$2y$"), "short")
    assert not verify_password(IMPORTED, "shorT")
    assert not verify_password(IMPORTED, "")


def test_bcrypt_looked_at_72_bytes_and_so_do_we() -> None:
    stored = bcrypt.hashpw(("密" * 24).encode(), bcrypt.gensalt(4)).decode()
    assert verify_password(stored, "密" * 24 + "what bcrypt never saw")
    assert not verify_password(stored, "密" * 23 + "码")


@pytest.mark.parametrize(
    "stored",
    ["$2b$31$" + "a" * 53, "$2b$03$" + "a" * 53, "$2x$10$" + "a" * 53, IMPORTED[:-1], IMPORTED + "a"],
    # Names that are the same in every process: a whole run is spread over several.
    ids=["too dear", "too cheap", "unknown kind", "too short", "too long"],
)
def test_a_bcrypt_hash_that_no_login_could_afford_or_read_matches_nothing(stored: str) -> None:
    assert not is_imported(stored)
    assert not verify_password(stored, "short")


def test_an_imported_hash_is_renewed_whatever_its_password_and_a_new_one_is_kept() -> None:
    renewed = renewed_hash(IMPORTED, "short")
    assert renewed is not None
    assert renewed.startswith("$argon2id$")
    assert verify_password(renewed, "short")
    assert renewed_hash(renewed, "short") is None


def test_while_imported_hashes_exist_nobody_s_check_is_cheaper_and_its_answer_the_same() -> None:
    assert verify_password(hash_password("correct horse"), "correct horse", imported_exist=True)
    assert not verify_password(None, "correct horse", imported_exist=True)
    assert verify_password(IMPORTED, "short", imported_exist=True)
