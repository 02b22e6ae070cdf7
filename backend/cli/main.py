"""The `cascade` command: what it can do, and how errors end."""

from __future__ import annotations

from typing import Any

import click

from backend.cli.language import language
from backend.cli.lazy import LazyGroup
from backend.domain.errors import CascadeError, ConfigurationError, Conflict, InvalidInput, NotFound

REFUSALS = (InvalidInput, NotFound, Conflict, ConfigurationError)
COMMANDS = {
    "init": ("backend.cli.init:init", "Make database, admin and parent node without starting anything."),
    "up": ("backend.cli.up:up", "Run the whole system in the foreground."),
    "child": ("backend.cli.child:child", "Run this machine as a remote node of a parent elsewhere."),
    "feed": ("backend.cli.feeds:feed", "Add, import and list feeds."),
    "task": ("backend.cli.tasks:task", "Add, list, pause and resume message tasks."),
    "scheduler": ("backend.cli.scheduling:scheduler", "Start, stop and reload all schedules."),
    "dispatch": ("backend.cli.dispatching:dispatch", "Dispatch message tasks now."),
    "allocation": (
        "backend.cli.allocations:allocation",
        "List, show, cancel and retry what nodes were given.",
    ),
    "failures": ("backend.cli.allocations:failures", "Show what failed, grouped."),
    "why": ("backend.cli.allocations:why", "Say why something waits."),
    "node": ("backend.cli.nodes:node", "Add, list, change, remove and run nodes."),
    "publish": ("backend.cli.publishing:publish", "Publish articles from files, and look after them."),
    "account": ("backend.cli.accounts:account", "Add, list, check and log in accounts on platforms."),
    "user": ("backend.cli.users:user", "Add, list and change users; set passwords."),
    "key": ("backend.cli.keys:key", "Add, list and revoke access keys for scripts."),
    "secrets": ("backend.cli.rotating:secrets", "Change the key that secrets are encrypted with."),
    "import-werss": ("backend.cli.moving:import_werss", "Import what is in a WeRSS database."),
    "sweep": ("backend.cli.sweeping:sweep", "Find what is stuck and mend it, once or again and again."),
    "status": ("backend.cli.status:status", "Show what runs, what waits and why."),
    "alerts": ("backend.cli.alerts:alerts", "List and acknowledge alerts; send a test message."),
    "settings": ("backend.cli.settings:settings", "Show every setting and where it stands."),
    "check": ("backend.cli.check:check", "Diagnose the installation and say what to fix."),
    "db": ("backend.cli.database:db", "Bring the database to this version."),
    "test": ("backend.cli.testing:main", "Run lint, types, contracts and all tests."),
    "bench": ("backend.cli.benchmarking:main", "Measure what is claimed, beside other queues."),
}


class Cascade(LazyGroup):
    """Turns our errors into sentences and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what a person can mend ends as a sentence."""
        try:
            return super().invoke(ctx)
        except REFUSALS as error:
            raise Refused(sentence_of(error, language())) from error
        except CascadeError as error:
            raise Failed(sentence_of(error, language())) from error


class Failed(click.ClickException):
    """Work that failed, as the command line shows it."""

    def show(self, file: Any = None) -> None:
        """The sentence on stderr."""
        click.echo(f"cascade: {self.message}", file=file, err=True)


class Refused(Failed):
    """Input or circumstances that a person has to change first."""

    exit_code = 2


def sentence_of(error: CascadeError, in_language: str) -> str:
    """The error's sentence; for bad fields, each field's own."""
    fields = error.field_sentences(in_language) if isinstance(error, InvalidInput) else {}
    if not fields or error.code != InvalidInput.default_code:
        return error.sentence(in_language)
    return "; ".join(f"{name}: {sentence}" for name, sentence in fields.items())


@click.group(cls=Cascade, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cascade-workers", prog_name="cascade")
def cascade() -> None:
    """Cascade collects feeds and delivers what is new, on this machine and on child nodes.

    Start with `./cascade up`; every other command works beside it or without it.
    """


def main() -> None:
    """The entry point; exits 0 when all went well, 1 when work failed, 2 for what is refused."""
    cascade.main(prog_name="cascade")


if __name__ == "__main__":
    main()
