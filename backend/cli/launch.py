"""What `./cascade` executes inside `.venv`: starts a command, and has a damaged venv rebuilt once.

Run by path, because in a damaged venv not even `backend` may be importable: standard library only.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
REBUILT = "CASCADE_VENV_REBUILT"
# For developers: these read their words themselves and must not wait for the other commands' imports.
OWN_MAINS = {"test": "backend.cli.testing", "bench": "backend.cli.benchmarking"}


def damage(error: ImportError) -> str:
    """What is wrong with the venv, or nothing when the failing import is a mistake in our own code."""
    if importlib.util.find_spec("backend") is None:
        return "the project itself is not installed in it"
    if error.path and error.path.endswith(".so") and Path(error.path).is_relative_to(VENV):
        return f"{error.path} can't be loaded"
    return _missing_file() or _missing_package()


def _missing_file() -> str:
    for distribution in importlib.metadata.distributions():
        for file in distribution.files or ():
            if file.suffix in {".py", ".so"} and not Path(str(distribution.locate_file(file))).exists():
                return f"{file} is missing"
    return ""


def _missing_package() -> str:
    installed = {_folded(distribution.name) for distribution in importlib.metadata.distributions()}
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        name, pinned, rest = line.partition("==")
        # A marker may exclude the package on this machine; what is left is proof enough.
        if pinned and ";" not in rest and _folded(name) not in installed:
            return f"{name} is missing"
    return ""


def _folded(name: str) -> str:
    return name.strip().casefold().replace("_", "-").replace(".", "-")


def rebuild(reason: str, arguments: Sequence[str]) -> int:
    """Start over through `./cascade` with the venv marked as broken; 2 when that was done already."""
    if REBUILT not in os.environ:
        (VENV / "broken").touch()
        (VENV / "installed" / "place").unlink(missing_ok=True)
        again = {**os.environ, REBUILT: "1"}
        os.execve("/bin/sh", ["sh", str(ROOT / "cascade"), *arguments], again)  # noqa: S606  (the very start again)
    sys.stderr.write(
        f"cascade: {VENV} is damaged ({reason}) and a new one is no better; "
        f"delete {VENV}, start again, and report it if this sentence comes back.\n"
    )
    return 2


def main(arguments: Sequence[str]) -> int:
    """Run `cascade ARGUMENTS`; returns the exit code where the command does not exit by itself."""
    name = OWN_MAINS.get(arguments[0] if arguments else "", "backend.cli.main")
    try:
        command = importlib.import_module(name)
    except ImportError as error:
        reason = damage(error)
        if not reason:
            raise
        return rebuild(reason, arguments)
    os.environ.pop(REBUILT, None)
    sys.argv = ["cascade", *arguments]
    return int(command.main() or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
