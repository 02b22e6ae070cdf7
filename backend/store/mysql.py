"""Connections to MariaDB and MySQL: pymysql's, cheaper, and patient only where a good server may be slow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql.connections
from pymysql.constants import CR, ER, SERVER_STATUS

# A server that is there greets and answers a ping at once; one that hangs takes connections all the same.
GREETING_SECONDS = 5
LOST_CODES = frozenset({CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST})
# No server refuses less, and only what is this large is worth a question after a loss.
LARGE_STATEMENT = 65_536
TOO_LARGE = "the statement is larger than max_allowed_packet: raise it in the server's configuration"

# What pymysql escapes, in its order: a backslash first, or those that the others bring would be doubled.
ESCAPED = (
    ("\\", "\\\\"),
    ("\0", "\\0"),
    ("\n", "\\n"),
    ("\r", "\\r"),
    ("\x1a", "\\Z"),
    ('"', '\\"'),
    ("'", "\\'"),
)


def escaped(text: str) -> str:
    """The text as it may stand between quotes; what pymysql makes of it, at a fifth to a tenth of the cost for an article."""
    for character, escape in ESCAPED:
        text = text.replace(character, escape)
    return text


class MysqlConnection(pymysql.connections.Connection):
    """Makes the TLS context of an unverified connection once: each costs 20 ms of reading certificates for nothing.

    Escapes texts by `escaped`. Waits for a greeting and for the answer to a ping no longer than those take.
    """

    _read_timeout: float  # not in the stubs

    def connect(self, sock: Any = None) -> None:
        """See pymysql."""
        with self._greeted_soon():
            super().connect(sock)

    def ping(self, reconnect: Any = False) -> None:
        """See pymysql."""
        with self._greeted_soon():
            super().ping(reconnect)

    @contextmanager
    def _greeted_soon(self) -> Iterator[None]:
        usual = self._read_timeout
        self._read_timeout = min(usual, GREETING_SECONDS)
        try:
            yield
        finally:
            self._read_timeout = usual

    def query(self, sql: Any, unbuffered: Any = False) -> int:
        """See pymysql. A server that ended the connection over a statement too large for it is not away: 1153 says so."""
        try:
            return super().query(sql, unbuffered)
        except pymysql.err.OperationalError as error:
            if error.args[0] not in LOST_CODES or len(sql) < LARGE_STATEMENT or not self._is_too_large(sql):
                raise
            raise pymysql.err.OperationalError(ER.NET_PACKET_TOO_LARGE, TOO_LARGE) from error

    def _is_too_large(self, sql: Any) -> bool:
        size = len(sql if isinstance(sql, bytes) else sql.encode(self.encoding, "surrogateescape"))
        try:
            self.connect()
            super().query("SELECT @@max_allowed_packet")
            return bool(size >= self._result.rows[0][0])  # type: ignore[attr-defined]  # not in the stubs
        except (pymysql.err.MySQLError, OSError):
            return False
        finally:
            # The transaction is gone with the old connection: nobody may go on with this one.
            self._force_close()  # type: ignore[attr-defined]  # not in the stubs

    def _escape_string(self, s: str) -> str:
        if self.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES:  # type: ignore[attr-defined]  # not in the stubs
            return s.replace("'", "''")
        return escaped(s)

    def _create_ssl_ctx(self, sslp: Any) -> Any:
        make = super()._create_ssl_ctx  # type: ignore[misc]  # private, so not in the stubs
        if sslp:
            return make(sslp)
        if not _unverified:
            _unverified["context"] = make({})
        return _unverified["context"]


_unverified: dict[str, Any] = {}


def connect_mysql(_dialect: object, _record: object, arguments: Any, options: Any) -> Any:
    """For the event `do_connect` of an engine on pymysql."""
    return MysqlConnection(*arguments, **options)
