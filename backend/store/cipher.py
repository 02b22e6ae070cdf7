"""Encryption of secrets at rest and of outcomes in the outbox."""

from __future__ import annotations

import base64
import hashlib
import hmac
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from backend.domain.errors import ConfigurationError


class SecretKeys:
    """The secret keys: free texts, comma-separated, the one that encrypts first.

    With a `file` they are what it says now, so that a rotation reaches the processes that run.
    """

    def __init__(self, text: str, file: Path | None = None) -> None:
        self._file = file
        self._seen: object = None
        self._keys = _split(text)
        if not self._keys:
            raise ConfigurationError("no_secret_key")

    def current(self) -> tuple[str, ...]:
        """The keys; a file that is away for the moment changes nothing."""
        if self._file is not None:
            with suppress(OSError, UnicodeDecodeError):
                self._look(self._file)
        return self._keys

    def _look(self, file: Path) -> None:
        found = file.stat()
        mark = (found.st_ino, found.st_mtime_ns, found.st_size)
        if mark != self._seen:
            # Empty: somebody is just writing it by hand.
            self._keys = _split(file.read_text(encoding="utf-8")) or self._keys
            self._seen = mark


@dataclass(frozen=True, slots=True)
class _Ring:
    """What is made of the keys."""

    keys: tuple[str, ...]
    newest: Fernet
    all: MultiFernet
    tag_key: bytes


class Cipher:
    """Encrypts with the first of its keys and decrypts with any of them."""

    def __init__(self, secret_key: str | SecretKeys) -> None:
        self._source = secret_key if isinstance(secret_key, SecretKeys) else SecretKeys(secret_key)
        self._made = _ring_of(self._source.current())

    def encrypt(self, text: str) -> str:
        """The text encrypted; empty stays empty, so that a column shows whether there is a secret."""
        return self._ring().newest.encrypt(text.encode()).decode() if text else ""

    def decrypt(self, token: str) -> str:
        """The text again. Raises `ConfigurationError` when none of the keys fits."""
        if not token:
            return ""
        try:
            return self._ring().all.decrypt(token.encode()).decode()
        except InvalidToken:
            raise ConfigurationError("wrong_secret_key") from None

    def refresh(self, token: str) -> str:
        """The token under the first key: itself, if that has it already. Raises `ConfigurationError` when no key fits."""
        if not token:
            return ""
        ring = self._ring()
        try:
            ring.newest.decrypt(token.encode())
        except InvalidToken:
            return self.encrypt(self.decrypt(token))
        return token

    def fingerprint(self, text: str) -> str:
        """What tells texts apart without letting anybody guess them: 64 hexadecimal digits, other ones with another key."""
        tag_key = self._ring().tag_key
        return hmac.new(tag_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _ring(self) -> _Ring:
        keys = self._source.current()
        if keys != self._made.keys:
            self._made = _ring_of(keys)
        return self._made


def _ring_of(keys: tuple[str, ...]) -> _Ring:
    fernets = [Fernet(_derive(key)) for key in keys]
    tag_key = hashlib.sha256(b"cascade-fingerprint:" + keys[0].encode()).digest()
    return _Ring(keys, fernets[0], MultiFernet(fernets), tag_key)


def _split(text: str) -> tuple[str, ...]:
    return tuple(part for part in (one.strip() for one in text.split(",")) if part)


def _derive(key: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(b"cascade:" + key.encode()).digest())
