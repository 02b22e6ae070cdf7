"""The `cascade` command: its commands are imported when they are called, so that `--help` and scripts start fast."""

from __future__ import annotations

import importlib
from typing import Any

import click

from backend.cli.language import language
from backend.domain.errors import CascadeError, ConfigurationError, Conflict, InvalidInput, NotFound

REFUSALS = (InvalidInput, NotFound, Conflict, ConfigurationError)
COMMANDS = {
    "up": ("backend.cli.up:up", "Run the whole system in the foreground."),
    "feed": ("backend.cli.feeds:feed", "Add, import and list feeds."),
    "task": ("backend.cli.tasks:task", "Add and list message tasks."),
    "dispatch": ("backend.cli.dispatching:dispatch", "Dispatch message tasks now."),
    "node": ("backend.cli.nodes:node", "Add, list and run nodes."),
    "user": ("backend.cli.users:user", "Add and list users, set passwords."),
    "status": ("backend.cli.status:status", "Show what runs, what waits and why."),
    "check": ("backend.cli.check:check", "Diagnose the installation and say what to fix."),
    "db": ("backend.cli.database:db", "Bring the database to this version."),
    "test": ("backend.cli.testing:main", "Run lint, types, contracts and all tests."),
}


class LazyGroup(click.Group):
    """Knows the names and summaries of its commands without importing them; turns our errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click's signature)
        """In the order in which a person needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        found = getattr(importlib.import_module(module), attribute)
        return found if isinstance(found, click.Command) else _wrap(cmd_name, found)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list in `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

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
    fields = error.fields if isinstance(error, InvalidInput) else {}
    if not fields or error.code != InvalidInput.default_code:
        return error.sentence(in_language)
    texts = (
        f"{name}: {trouble.sentence(in_language) if isinstance(trouble, CascadeError) else trouble}"
        for name, trouble in fields.items()
    )
    return "; ".join(texts)


def _wrap(name: str, function: Any) -> click.Command:
    """A command that reads its arguments itself."""
    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    return click.Command(
        name,
        callback=lambda: click.get_current_context().exit(int(function() or 0)),
        context_settings=settings,
    )


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
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
