"""A small clone of the project: the real start script and installer around a command that shows how it was started.

Its packages are two tiny wheels in a folder, so that the real pip installs with hashes and without network.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "readlink", "dirname", "cmp")

COMMAND = """
import json, os, sys
import tinylock

def main():
    shown = {"arguments": sys.argv[1:], "directory": os.getcwd(), "version": tinylock.VERSION}
    print(json.dumps(shown))
    return 3 if "fail" in sys.argv else 0
"""

# Editable as setuptools does it, without having to download setuptools.
BUILD_BACKEND = """
import pathlib, zipfile

def get_requires_for_build_editable(settings=None):
    return []

def build_editable(folder, settings=None, metadata=None):
    name = "tinycascade-1.0-py3-none-any.whl"
    info = "tinycascade-1.0.dist-info/"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as wheel:
        wheel.writestr("tinycascade.pth", str(pathlib.Path.cwd()))
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: tinycascade\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "tinycascade.pth,,\\n")
    return name
"""

PROJECT = """
[build-system]
requires = []
build-backend = "build_backend"
backend-path = ["."]
[project]
name = "tinycascade"
version = "1.0"
"""


@dataclass(frozen=True, slots=True)
class Started:
    """How one start ended."""

    code: int
    output: str
    errors: str

    @property
    def shown(self) -> dict[str, Any]:
        """What the command said about how it was started."""
        return dict(json.loads(self.output))


class Clone:
    """A folder that looks like a fresh clone, and the few things that tests do to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "clone"
        self.wheels = folder / "wheels"
        self.programs = folder / "programs"
        for directory in (self.root / "backend" / "cli", self.wheels, self.programs):
            directory.mkdir(parents=True)
        for file in ("cascade", "backend/__init__.py", "backend/cli/__init__.py"):
            shutil.copy(ROOT / file, self.root / file)
        for file in ("install", "launch"):
            shutil.copy(ROOT / "backend" / "cli" / f"{file}.py", self.root / "backend" / "cli")
        self.write("backend/cli/main.py", COMMAND)
        self.write("backend/cli/testing.py", COMMAND.replace("tinylock", "tinytest"))
        self.write("build_backend.py", BUILD_BACKEND)
        self.write("pyproject.toml", PROJECT)
        self.write("requirements.txt", self.pin("tinylock", "1.0"))
        self.write("requirements-dev.txt", self.pin("tinylock", "1.0") + self.pin("tinytest", "1.0"))
        (self.programs / "python3").symlink_to(Path(sys.executable).resolve())

    @property
    def venv(self) -> Path:
        """Where its virtual environment is, once it is."""
        return self.root / ".venv"

    @property
    def log(self) -> str:
        """What installing has said so far."""
        return (self.venv / "install.log").read_text()

    def write(self, file: str, text: str) -> None:
        """Write one of its files."""
        (self.root / file).write_text(text)

    def pin(self, name: str, version: str) -> str:
        """Make a wheel with one module; returns its line for a lock."""
        wheel = self.wheels / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        module = f"VERSION = {version!r}\n"
        digest = base64.urlsafe_b64encode(hashlib.sha256(module.encode()).digest()).rstrip(b"=").decode()
        if not wheel.exists():
            with zipfile.ZipFile(wheel, "w") as file:
                file.writestr(f"{name}.py", module)
                file.writestr(
                    f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
                )
                tag = "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                file.writestr(f"{info}/WHEEL", tag)
                file.writestr(f"{info}/RECORD", f"{name}.py,sha256={digest},{len(module)}\n")
        return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"

    def program(self, name: str, text: str) -> None:
        """Put an own program in front of the machine's."""
        path = self.programs / name
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def bare(self) -> None:
        """Leave the script only the few tools that it may count on, and no Python."""
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None
            (self.programs / tool).symlink_to(found)
        (self.programs / "python3").unlink()

    def environment(self, *, machine: bool = True) -> dict[str, str]:
        """An almost empty environment; `machine=False` hides the machine's own programs."""
        path = [str(self.programs), *(["/usr/sbin", "/usr/bin", "/sbin", "/bin"] if machine else [])]
        offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels)}
        return {"PATH": os.pathsep.join(path), "HOME": str(self.folder), **offline}

    def begin(
        self, *arguments: str, script: Path | None = None, machine: bool = True, **variables: str
    ) -> subprocess.Popen[str]:
        """Start it from another directory, in a process group of its own, and let it run."""
        return subprocess.Popen(
            [script or self.root / "cascade", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**self.environment(machine=machine), **variables},
            start_new_session=True,
        )

    def start(
        self, *arguments: str, script: Path | None = None, machine: bool = True, **variables: str
    ) -> Started:
        """Start it and wait for its end."""
        with self.begin(*arguments, script=script, machine=machine, **variables) as process:
            output, errors = process.communicate(timeout=100)
        return Started(process.returncode, output, errors)
