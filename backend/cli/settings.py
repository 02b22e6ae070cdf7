"""`cascade settings`: every setting, what it is now and where that stands; and the page that lists them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from backend.bootstrap import load_settings
from backend.cli import options
from backend.cli.opening import address_of
from backend.cli.output import result
from backend.cli.tables import listing
from backend.dispatch.broker import redis_address
from backend.domain.alarms import receiver_label
from config import SETTINGS, Settings, read_file
from config_values import Setting

HEADING = """# Settings

Made by `./cascade settings --markdown`; a test compares it with the program. Environment over `config.yaml` over
default: a value that can't be used stops the start and is named. `config.yaml` is looked for at `--config`,
`CASCADE_CONFIG`, in the data directory, and beside `./cascade`; its names are paths: `work.lease_seconds` is
`lease_seconds` under `work`. `./cascade settings` shows what is in force here and where it stands.

Not in this table: `CASCADE_DATA_DIR` (where everything is kept; `--data-dir`), `CASCADE_ADMIN_PASSWORD` (of `admin`, on
the first run), and the proxy variables `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`.

| environment | `config.yaml` | default | allowed | meaning |
|---|---|---|---|---|"""


@click.command("settings")
@click.option("--markdown", is_flag=True, help="The page docs/configuration.md.")
@options.as_json
@options.data_dir
def settings(markdown: bool, as_data: bool, data_dir: Path | None) -> None:
    """Show every setting, what it is now, and where that stands; secrets stay hidden."""
    if markdown:
        result(page())
        return
    rows = list(_rows(load_settings(data_dir=data_dir)))
    listing(("environment", "path", "value", "stands_in"), rows, as_data=as_data)


def page() -> str:
    """The reference of all settings in Markdown."""
    return "\n".join([HEADING, *(_line(setting) for setting in SETTINGS.values())])


def _line(setting: Setting) -> str:
    default = f"`{shown(setting.default)}`" if setting.default not in ("", ()) else "–"
    cells = (f"`{setting.environment}`", f"`{setting.path}`", default, setting.parse.allowed, setting.help)
    return f"| {' | '.join(cells)} |"


def _rows(found: Settings) -> Iterator[dict[str, Any]]:
    content = read_file(found.config_file)
    for name, setting in SETTINGS.items():
        source, _ = setting.told(os.environ, content)
        yield {
            "environment": setting.environment,
            "path": setting.path,
            "value": _safe(name, getattr(found, name)),
            "stands_in": str(found.config_file) if source == "file" else source,
        }


def _safe(name: str, value: Any) -> str:
    if not value and not isinstance(value, bool | int | float):
        return "-"
    match name:
        case "secret_key" | "api_secret" | "metrics_token" | "publish_options":
            return "(set)"
        case "alert_urls":
            return ", ".join(receiver_label(url) for url in value)
        case "database_url":
            return address_of(value)
        case "redis_url":
            return redis_address(value)
        case _:
            return shown(value)


def shown(value: object) -> str:
    """The value as a person would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(value)
    return f"{value:g}" if isinstance(value, float) and value < 1e6 else str(value)
