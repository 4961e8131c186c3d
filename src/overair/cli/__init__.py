"""The command line: one module for each group of commands, loaded when it is called.

Exit status: 0 done; 1 done, and something is wrong with what was looked at; 2 wrong usage or input,
and nothing was changed; 3 the database or the server could not be reached, or was busy. An error is
one sentence on standard error that says what to do next, or ``{"error": …}`` with ``--json``.
"""

import json
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from overair import __version__
from overair.config import ConfigError

app = App(
    name="overair",
    version=__version__,
    help="An open firmware-over-the-air campaign server.",
    result_action="return_value",
)

# Modules are named and not imported: a command that is not called costs nothing.
app.command("overair.cli.server:serve", name="serve")
app.command("overair.cli.server:migrate", name="migrate")
app.command("overair.cli.server:openapi", name="openapi")
app.command("overair.cli.fleet:import_fleet", name="import")
app.command("overair.cli.fleet:export_fleet", name="export")
app.command("overair.cli.accounts:app", name="account")
app.command("overair.cli.packages:app", name="package")
app.command("overair.cli.subscriptions:app", name="subscription")
app.command("overair.cli.devices:app", name="device")
app.command("overair.cli.campaigns:app", name="campaign")
app.command("overair.cli.truth:explain", name="explain")
app.command("overair.cli.truth:verify", name="verify")
app.command("overair.cli.callbacks:callbacks", name="callbacks")
app.command("overair.cli.simulate:simulate", name="simulate")
app.command("overair.cli.demo:demo", name="demo")


class CommandError(Exception):
    """A command cannot do what it was asked; the message says why and what to do next."""

    def __init__(self, message: str, *, status: int = 2, details: Sequence[object] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.details = details  # with --json: ``problems``


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that ``arguments`` name, and exit with its status."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run a command; its exit status."""
    try:
        result = app(arguments, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        hint = "; `overair --help` lists commands, `overair COMMAND --help` their options"
        return _fail(" ".join(str(error).split()).rstrip(".") + hint, 2, arguments)
    except CommandError as error:
        return _fail(str(error), error.status, arguments, error.details)
    except ConfigError as error:
        return _fail(str(error), 2, arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        status = _status_of(error)
        if status is None:
            raise
        return _fail(str(error), status, arguments)
    return result if isinstance(result, int) else 0


def _status_of(error: Exception) -> int | None:
    """The status of an error of the store, which is only imported where one can have come from."""
    from overair.store.database import MigrationError, StoreError

    if isinstance(error, MigrationError):
        return 2
    return 3 if isinstance(error, StoreError) else None


def _fail(message: str, status: int, arguments: list[str], details: Sequence[object] = ()) -> int:
    if "--json" in arguments:
        problems = {"problems": list(details)} if details else {}
        print(json.dumps({"error": message, **problems}), file=sys.stderr)
    else:
        print(f"overair: {message}", file=sys.stderr)
    return status
