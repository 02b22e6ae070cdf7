"""Encryption of secrets at rest and of outcomes in the outbox."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from backend.domain.errors import ConfigurationError


class Cipher:
    """Encrypts with the first of its keys and decrypts with any of them; keys are free texts, comma-separated."""

    def __init__(self, secret_key: str) -> None:
        keys = [part.strip() for part in secret_key.split(",") if part.strip()]
        if not keys:
            raise ConfigurationError("no_secret_key")
        self._tag_key = hashlib.sha256(b"cascade-fingerprint:" + keys[0].encode()).digest()
        self._fernet = MultiFernet([Fernet(_derive(key)) for key in keys])

    def encrypt(self, text: str) -> str:
        """The text encrypted; empty stays empty, so that a column shows whether there is a secret."""
        return self._fernet.encrypt(text.encode()).decode() if text else ""

    def decrypt(self, token: str) -> str:
        """The text again. Raises `ConfigurationError` when none of the keys fits."""
        if not token:
            return ""
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken:
            raise ConfigurationError("wrong_secret_key") from None

    def fingerprint(self, text: str) -> str:
        """What tells texts apart without letting anybody guess them: 64 hexadecimal digits, other ones with another key."""
        return hmac.new(self._tag_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def _derive(key: str) -> bytes:
    return base64.urlsafe_b64encode(hashlib.sha256(b"cascade:" + key.encode()).digest())
