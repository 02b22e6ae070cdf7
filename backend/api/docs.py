"""The contract as a document and as pages to browse: everything comes from this origin."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Response, abort, current_app, jsonify, make_response, send_file
from flask_openapi3.openapi import OpenAPI

from backend.api.access import Access, declare

docs = Blueprint("docs", __name__)

ASSETS = Path(__file__).with_name("assets")
SWAGGER = Path(str(files("flask_openapi3_swagger"))) / "templates" / "swagger"
FILES = {
    "swagger-ui.css": SWAGGER / "css" / "swagger-ui.css",
    "swagger-ui-bundle.js": SWAGGER / "js" / "swagger-ui-bundle.js",
    "start.js": ASSETS / "docs.js",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@docs.get("/openapi.json")
@declare(Access.OPEN)
def contract() -> Response:
    """The OpenAPI document."""
    app = current_app
    if not isinstance(app, OpenAPI):
        abort(404)
    return jsonify(app.api_doc)


@docs.get("/docs")
@declare(Access.OPEN)
def page() -> Response:
    """The contract, to browse and to try."""
    answer = make_response((ASSETS / "docs.html").read_text("utf-8"))
    answer.headers["Content-Security-Policy"] = POLICY
    return answer


@docs.get("/docs/<name>")
@declare(Access.OPEN)
def asset(name: str) -> Response:
    """A script or style of the page."""
    if name not in FILES:
        abort(404)
    return send_file(FILES[name], max_age=300)
