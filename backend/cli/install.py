"""Makes `.venv` equal to the locks; `./cascade` runs it by path with the machine's Python, so: standard library only."""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

NETWORK_SIGNS = (
    "connection broken",
    "connection error",
    "timed out",
    "proxyerror",
    "no matching distribution",
)
USABLE = "import pip, sys; sys.exit(sys.version_info < (3, 11))"


class Stop(Exception):
    """The one sentence that ends the start with exit code 2."""


def say(sentence: str) -> None:
    """One line for the person at the terminal; stdout belongs to the command that follows."""
    sys.stderr.write(f"cascade: {sentence}\n")


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the directory's lock; the kernel drops it with its process, so it is never stale."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another start that is installing packages …")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def privilege() -> list[str] | None:
    """What to put before a command that needs root: nothing, sudo, or `None` when there is no way."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") is None:
        return None
    allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False)
    return ["sudo", "-n"] if allowed.returncode == 0 else None


def apt_install(*packages: str) -> bool:
    """Install Debian packages without asking; `False` when that is not possible here."""
    prefix = privilege()
    if prefix is None or shutil.which("apt-get") is None:
        return False
    apt = [*prefix, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
    install = [*apt, "install", "--no-install-recommends", *packages]
    # Package lists are often absent (containers) or old; fetching them is only worth its time then.
    return _succeeds(install) or (_succeeds([*apt, "update"]) and _succeeds(install))


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Venv:
    """The virtual environment beside the script, and the stamps that tell what it was made from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / ".venv"
        self.python = self.path / "bin" / "python"
        self.stamps = self.path / "installed"
        self.broken = self.path / "broken"
        self.log = self.path / "install.log"

    def is_current(self, files: Sequence[str]) -> bool:
        """Whether everything was installed here from exactly these files (the same test as in `./cascade`)."""
        try:
            place = (self.stamps / "place").read_text(encoding="utf-8")
            same = all((self.root / file).read_bytes() == (self.stamps / file).read_bytes() for file in files)
        except FileNotFoundError:
            return False
        return same and place == f"{self.root}\n" and os.access(self.python, os.X_OK)

    def is_usable(self) -> bool:
        """Whether packages can be installed into it as it is."""
        if self.broken.exists() or not os.access(self.python, os.X_OK):
            return False
        moved = (self.stamps / "place").exists() and not self.is_current(())
        return not moved and _succeeds([str(self.python), "-c", USABLE])

    def clear(self) -> None:
        """Make it anew and empty."""
        # The real interpreter, not a version-less link to it: after an upgrade of the machine the venv must
        # miss its interpreter instead of meeting one that looks for packages in another folder.
        interpreter = str(Path(sys.executable).resolve())
        done = subprocess.run(
            [interpreter, "-m", "venv", "--clear", str(self.path)],
            capture_output=True,
            text=True,
            check=False,
        )
        self.note(done.stdout + done.stderr)
        if done.returncode:
            raise Stop(
                f"Python could not make {self.path}; see {self.log}, mend what it names and start again."
            )

    def note(self, text: str) -> None:
        """Keep a program's words for whoever looks for the reason."""
        self.path.mkdir(exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            log.write(text)

    def pip(self, *arguments: str) -> None:
        """Run the venv's pip. Raises `Stop` when it fails."""
        quiet = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
        done = subprocess.run(
            [str(self.python), "-m", "pip", "install", *quiet, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            cwd=self.root,
        )
        self.note(done.stdout)
        if done.returncode:
            raise Stop(self._pip_sentence(done.stdout.casefold()))

    def _pip_sentence(self, output: str) -> str:
        if "do not match the hashes" in output:
            return (
                f"a downloaded package does not match the lock; see {self.log} and do not use that download."
            )
        if any(sign in output for sign in NETWORK_SIGNS):
            return f"the packages can't be downloaded; check network and proxy and start again (details: {self.log})."
        return f"pip could not install the packages; see {self.log}, mend what it names and start again."

    def stamp(self, files: Sequence[str]) -> None:
        """Record what is installed; `place` comes last because it makes the rest count."""
        for file in files:
            shutil.copyfile(self.root / file, self.stamps / file)
        (self.stamps / "place").write_text(f"{self.root}\n", encoding="utf-8")

    def unstamp(self) -> None:
        """Forget what is installed, so that an interrupted installation is repeated."""
        shutil.rmtree(self.stamps, ignore_errors=True)
        self.stamps.mkdir(parents=True)


def has_ensurepip() -> bool:
    """Whether this Python can put pip into a virtual environment; an empty folder left behind does not count."""
    importlib.invalidate_caches()
    found = importlib.util.find_spec("ensurepip")
    return found is not None and found.origin is not None


def provide_ensurepip() -> None:
    """Debian ships `venv` without it. Raises `Stop` with the one command when it can't be installed from here."""
    if has_ensurepip():
        return
    say("installing python3-venv …")
    if not apt_install("python3-venv") or not has_ensurepip():
        raise Stop(
            "this Python can't make virtual environments yet; run: sudo apt-get install -y python3-venv"
        )


def install(venv: Venv, files: Sequence[str]) -> None:
    """Bring the venv to what the files say, from whatever state it is in."""
    say("installing packages into .venv (once; takes a minute) …")
    if not venv.is_usable():
        provide_ensurepip()
        venv.clear()
    venv.unstamp()
    locks = [file for file in files if file.startswith("requirements")]
    for lock in locks:
        venv.pip("--require-hashes", "-r", lock)
    venv.pip("--no-deps", "--no-build-isolation", "-e", ".")
    venv.stamp(files)


def main(files: Sequence[str]) -> int:
    """Install when needed; 2 after a sentence that says why not."""
    venv = Venv(Path(__file__).resolve().parents[2])
    try:
        with only_one(venv.root):
            if not venv.is_current(files):
                install(venv, files)
    except Stop as stop:
        say(str(stop))
        return 2
    except OSError as error:
        say(
            f"{venv.path} can't be written ({error.strerror}); make room or give this user the right to write there."
        )
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
