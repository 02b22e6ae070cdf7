"""XML-RPC calls to one blog (wire 3.5): hostile XML refused, faults and HTTP statuses as errors."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NoReturn
from xml.parsers.expat import ExpatError
from xmlrpc.client import (
    Error,
    Fault,
    Unmarshaller,
    dumps,
)

from defusedxml.common import DefusedXmlException
from defusedxml.xmlrpc import DefusedExpatParser

from backend.domain.errors import WorkError
from backend.domain.ports import Desk, HttpRequest, HttpResponse
from backend.domain.publishing import Credentials
from backend.publishers import refusing

NAME = "MetaWeblog"
SECONDS = 30.0
# What XML 1.0 can't hold would make the whole request unreadable.
UNSENDABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
WRONG_PASSWORD, NOT_ALLOWED, GONE, OFF = 403, 401, 404, 405
NO_SUCH_METHOD = -32601


class Refused(WorkError):
    """The blog answered with a fault; `fault` is its number."""

    fault = 0


class Blog:
    """Calls with one account's user name and password."""

    def __init__(self, credentials: Credentials, desk: Desk, seconds: float = SECONDS) -> None:
        self._credentials = credentials
        self._desk = desk
        self._seconds = seconds
        self._url = endpoint_of(credentials.fields.get("url", ""))
        self.id = credentials.fields.get("blogid") or "1"
        self.login = (credentials.fields.get("username", ""), credentials.fields.get("password", ""))
        self.last: HttpResponse | None = None

    def call(self, method: str, *params: Any, faults: Collection[int] = (), repeatable: bool = True) -> Any:
        """The method's value. Raises `WorkError`, never ambiguous when repeatable; `Refused` for the faults that are expected."""
        body = dumps(tuple(sendable(one) for one in params), method, encoding="utf-8").encode()
        seconds = max(1.0, min(self._seconds, self._desk.seconds_left()))
        headers = {"Content-Type": "text/xml; charset=utf-8"}
        request = HttpRequest("POST", self._url, headers, body, seconds, follow_redirects=False)
        try:
            self.last = response = self._desk.http.send(request)
        except WorkError as error:
            error.ambiguous = error.ambiguous and not repeatable
            raise
        if response.status != 200:
            self._raise_status(response, repeatable)
        try:
            return value_of(response.body)
        except Fault as fault:
            self._raise_fault(response, fault, faults, repeatable)
        except (ExpatError, Error, DefusedXmlException, ValueError, IndexError, KeyError, TypeError) as error:
            raise WorkError(
                "platform_changed", ambiguous=not repeatable, platform=NAME, what="its answer is no XML-RPC"
            ) from error

    def _raise_status(self, response: HttpResponse, repeatable: bool) -> NoReturn:
        said = refusing.words(response, self._credentials)
        if response.status == 401:
            raise refusing.expired(NAME, response, said)
        if response.status == 429:
            raise refusing.too_fast(NAME, response, said)
        if response.status >= 500:
            raise refusing.failed(NAME, response, said, ambiguous=not repeatable)
        if 300 <= response.status < 400:
            raise refusing.moved(NAME, response)
        raise refusing.rejected(NAME, response, said)

    def _raise_fault(
        self, response: HttpResponse, fault: Fault, expected: Collection[int], repeatable: bool
    ) -> NoReturn:
        number = fault.faultCode if isinstance(fault.faultCode, int) else 0
        said = refusing.words(response, self._credentials, f"fault {number}: {fault.faultString}")
        if number in expected:
            refused = Refused("rejected", permanent=True, platform=NAME, detail=said)
            refused.fault = number
            raise refused from None
        if number == WRONG_PASSWORD:
            raise refusing.expired(NAME, response, said) from None
        if number >= 500:
            raise refusing.failed(NAME, response, said, ambiguous=not repeatable) from None
        raise refusing.rejected(NAME, response, said) from None


def endpoint_of(url: str) -> str:
    """Where the blog takes calls: the address as it was entered, or WordPress's usual place on the site."""
    address = url.strip()
    return address if "xmlrpc" in address or address.endswith(".php") else f"{address.rstrip('/')}/xmlrpc.php"


def sendable(value: Any) -> Any:
    """The value without characters that XML can't hold."""
    if isinstance(value, str):
        return UNSENDABLE.sub("", value)
    if isinstance(value, dict):
        return {name: sendable(inner) for name, inner in value.items()}
    return [sendable(inner) for inner in value] if isinstance(value, list) else value


def value_of(body: bytes) -> Any:
    """The value in an answer. Raises `Fault`, and other errors for what is no answer."""
    reader = Unmarshaller(use_datetime=True)
    parser = DefusedExpatParser(reader, forbid_dtd=True)
    parser.feed(body)
    parser.close()
    values = reader.close()
    return values[0] if values else None
