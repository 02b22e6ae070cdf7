"""Puts modules into a folder as pip would leave them: importable, with their entry points beside them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent


def install(folder: Path, entries: Mapping[str, str], group: str = "cascade.sources", **texts: str) -> Path:
    """The folder with `quotes` and modules of these texts; `entries` are lines of the group."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "quotes.py", folder / "quotes.py")
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    information = folder / "somebody_elses-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: somebody-elses\nVersion: 1.0\n", encoding="utf-8"
    )
    lines = "".join(f"{name} = {place}\n" for name, place in entries.items())
    (information / "entry_points.txt").write_text(f"[{group}]\n{lines}", encoding="utf-8")
    return folder
