"""A real WordPress: Debian's packages unpacked into a folder, PHP's own server, a MariaDB of the tests; nothing is installed or started as a service."""

from __future__ import annotations

import re
import secrets
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from tests.servers import PASSWORD, MariaDb, Server, ServerError

WANTED = ("wordpress", "wordpress-theme-twentytwentythree", "php-getid3", "libjs-underscore")
PHP_PARTS = ("cli", "common", "mysql", "xml", "mbstring", "gd")
# In the order in which PHP must load them.
EXTENSIONS = (
    "mysqlnd", "mysqli", "xml",  "dom", "xmlreader", "simplexml", "mbstring", "ctype", "tokenizer", "iconv", "fileinfo", "exif", "posix"
)  # fmt: skip
# These come with the machine; a second copy beside them would not fit its loader.
MACHINE = re.compile(r"lib(c6|gcc-s1|stdc\+\+6|crypt1|perl.*|debian-installer.*)$")
ONLY_NEEDED = [
    f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")
]
USER, LOGIN = "alice", "the password of the login page"
CONFIG = """<?php
define('DB_NAME', '%(database)s'); define('DB_USER', 'cascade'); define('DB_PASSWORD', '%(password)s');
define('DB_HOST', '127.0.0.1:%(database_port)d'); define('DB_CHARSET', 'utf8mb4'); define('DB_COLLATE', '');
define('WP_HOME', '%(home)s'); define('WP_SITEURL', '%(home)s');
define('WP_ENVIRONMENT_TYPE', 'local'); define('DISABLE_WP_CRON', true); define('WP_HTTP_BLOCK_EXTERNAL', true);
define('AUTH_KEY', '%(salt)s'); define('SECURE_AUTH_KEY', '%(salt)s'); define('LOGGED_IN_KEY', '%(salt)s');
define('NONCE_KEY', '%(salt)s'); define('WP_AUTO_UPDATE_CORE', false);
$table_prefix = 'wp_';
if (!defined('ABSPATH')) { define('ABSPATH', __DIR__ . '/'); }
require_once ABSPATH . 'wp-settings.php';
"""
ROUTER = """<?php
$asked = $_SERVER['DOCUMENT_ROOT'] . parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (is_file($asked)) { return false; }
require $_SERVER['DOCUMENT_ROOT'] . '/index.php';
"""
INSTALL = """<?php
define('WP_INSTALLING', true);
require '%(root)s/wp-load.php'; require ABSPATH . 'wp-admin/includes/upgrade.php';
wp_install('A real blog', '%(user)s', 'alice@example.com', true, '', '%(login)s');
switch_theme('twentytwentythree');
"""
NEW_PASSWORD = """<?php
require '%(root)s/wp-load.php';
$made = WP_Application_Passwords::create_new_application_password(1, ['name' => uniqid('Cascade ')]);
echo '<<' . $made[0] . '>>';
"""
REVOKE = """<?php
require '%(root)s/wp-load.php'; WP_Application_Passwords::delete_all_application_passwords(1);
"""
PERMALINKS = """<?php
require '%(root)s/wp-load.php'; update_option('permalink_structure', '/%%postname%%/'); flush_rewrite_rules();
"""


class RealWordPress(Server):
    """The blog of one user. `secret` is her application password, as WordPress shows it."""

    name = "WordPress"

    def __init__(self, folder: Path, mariadb: MariaDb) -> None:
        super().__init__(folder)
        self._unpacked = folder / "unpacked"
        self.root = self._unpacked / "usr/share/wordpress"
        self._mariadb = mariadb
        self.secret = ""

    @property
    def home(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def install(self) -> None:
        """Fetch and unpack what it needs, and make the blog."""
        self._fetch()
        values = {
            "database": self._mariadb.create_database(),
            "password": PASSWORD,
            "database_port": self._mariadb.port,
            "home": self.home,
            "salt": secrets.token_hex(32),
        }
        config = self.root / "wp-config.php"
        config.unlink()
        config.write_text(CONFIG % values)
        (self.root / "wp-content/uploads").mkdir(exist_ok=True)
        (self.folder / "router.php").write_text(ROUTER)
        self.run_php(INSTALL)
        self.secret = self.new_password()

    def new_password(self) -> str:
        """A further application password."""
        found = re.search("<<(.+)>>", self.run_php(NEW_PASSWORD))
        if found is None:
            raise ServerError("WordPress made no application password")
        # Shown in groups of four.
        return " ".join(re.findall("....", found.group(1)))

    def revoke_passwords(self) -> None:
        """As their owner would on her profile's page."""
        self.run_php(REVOKE)

    def use_permalinks(self) -> None:
        """Pretty addresses instead of `/?p=7`."""
        self.run_php(PERMALINKS)

    def run_php(self, script: str) -> str:
        """Run a script inside of the blog; what it wrote."""
        path = self.folder / "script.php"
        path.write_text(script % {"root": self.root, "user": USER, "login": LOGIN})
        done = subprocess.run(
            [*self._php(), str(path)], capture_output=True, text=True, check=False, env=self._environment()
        )
        if done.returncode:
            raise ServerError(f"PHP failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def command(self) -> list[str]:
        """See `Server`."""
        variables = [f"{name}={value}" for name, value in self._environment().items()]
        served = ["-S", f"127.0.0.1:{self.port}", "-t", str(self.root), str(self.folder / "router.php")]
        return ["env", *variables, *self._php(), *served]

    def answers(self) -> bool:
        """See `Server`."""
        try:
            urllib.request.urlopen(f"{self.home}/?rest_route=/", timeout=30).close()
        except (urllib.error.URLError, OSError):
            return False
        return True

    def _environment(self) -> dict[str, str]:
        folders = [str(path) for path in self._unpacked.glob("usr/lib/*-linux-gnu")]
        return {
            "LD_LIBRARY_PATH": ":".join(folders),
            "HTTP_HOST": f"127.0.0.1:{self.port}",
            "PATH": "/usr/bin:/bin",
        }

    def _php(self) -> list[str]:
        program = next(iter(sorted(self._unpacked.glob("usr/bin/php[0-9].[0-9]"))))
        modules = next(iter(self._unpacked.glob("usr/lib/php/2*")))
        loaded = [f"-dextension={name}.so" for name in EXTENSIONS if (modules / f"{name}.so").exists()]
        return [str(program), "-n", f"-dextension_dir={modules}", "-dmemory_limit=256M", *loaded]

    def _fetch(self) -> None:
        self._unpacked.mkdir(parents=True)
        found = re.search(r"php(\d+\.\d+)-cli", _output("apt-cache", "depends", "php-cli"))
        if found is None:
            raise ServerError("there are no package lists; run apt-get update and start again")
        php = [f"php{found.group(1)}-{part}" for part in PHP_PARTS]
        lines = _output("apt-cache", "depends", "--recurse", *ONLY_NEEDED, *php).splitlines()
        libraries = {line for line in lines if line.startswith("lib") and not MACHINE.match(line)}
        _output("apt-get", "download", *WANTED, *php, *sorted(libraries), folder=self.folder)
        for package in sorted(self.folder.glob("*.deb")):
            _output("dpkg-deb", "-x", str(package), str(self._unpacked))


def _output(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode:
        raise ServerError(f"{' '.join(command[:3])} failed:\n{done.stderr[-1000:]}")
    return done.stdout
