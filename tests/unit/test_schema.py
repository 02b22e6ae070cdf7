"""What this program knows of its migrations without Alembic is what Alembic knows."""

from __future__ import annotations

import subprocess
import sys

from alembic.config import Config
from alembic.script import ScriptDirectory

from backend.store.schema import SCRIPTS, revisions


def test_the_numbers_of_the_files_are_the_chain_of_revisions() -> None:
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS))
    chain = [script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()]
    assert list(revisions()) == chain[::-1]


def test_processes_that_stay_do_not_load_alembic() -> None:
    look = "import sys, backend.cli.running, backend.dispatch.beat, backend.api.app; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
