"""The application with its OpenAPI 3.1 document."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from flask_openapi3.models.info import Info
from flask_openapi3.models.security_scheme import SecurityScheme
from flask_openapi3.openapi import OpenAPI

from backend.api.contract_parts import refusals
from backend.api.describing import ACCESS_KEY, BEARER, NODE_CREDENTIALS

TEXT = (
    'Every answer is `{"code", "message", "data"}` with a true HTTP status. `code` is 0 on success (200 on some '
    "routes of the cascade) and the HTTP status on failure; `data.error` is then a stable code. "
    "Times are UTC, ISO 8601. Messages are English or Chinese by `Accept-Language`."
)
SCHEMES: dict[str, dict[str, Any]] = {
    BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "A person's login."},
    ACCESS_KEY: {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "A person's access key: `AK-SK WK…:SK…`.",
    },
    NODE_CREDENTIALS: {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "A node's credentials: `AK-SK CN…:CS…`.",
    },
}


class Contract(OpenAPI):
    """A Flask application whose routes describe themselves."""

    def __init__(self, name: str) -> None:
        schemes: dict[str, SecurityScheme | dict[str, Any]] = dict(SCHEMES)
        super().__init__(
            name,
            info=Info(title="Cascade", version=version("cascade-workers"), description=TEXT),
            security_schemes=schemes,
            doc_ui=False,
            static_folder=None,
        )

    def generate_spec_json(self) -> None:
        """Build the document; operations that stand under two prefixes get two ids."""
        schemas = dict(self.components_schemas)
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        # The library's own models of schemas know no examples, and would add one for errors that we do not send.
        self.spec_json["components"] |= {"schemas": schemas, "responses": refusals()}
        seen: set[str] = set()
        for path, operations in sorted(self.spec_json["paths"].items()):
            for operation in operations.values():
                if operation["operationId"] in seen:
                    operation["operationId"] += "_" + path.split("/")[3]
                seen.add(operation["operationId"])
