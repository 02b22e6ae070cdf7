"""Password hashes."""

from __future__ import annotations

import pytest

from backend.domain.errors import InvalidInput
from backend.store.passwords import LEAST, MOST, hash_password, verify_password


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
