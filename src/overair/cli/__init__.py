"""The command line: one module for each group of commands, loaded when it is called.

Exit status: 0 done; 1 done, and something is wrong with what was looked at; 2 wrong usage or input,
and nothing was changed; 3 the database or the server could not be reached, or was busy. An error is
one sentence on standard error that says what to do next, or ``{"error": …}`` with ``--json``.
"""

import difflib
import json
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, UnknownCommandError

from overair import __version__
from overair.config import ConfigError

app = App(
    name="overair",
    version=__version__,
    help="An open firmware-over-the-air campaign server.",
    result_action="return_value",
)

# Modules are named and not imported: a command that is not called costs nothing.
COMMANDS = (
    ("serve", "server:serve", "Serve the management API and the devices."),
    ("migrate", "server:migrate", "Bring the database's schema up to date."),
    ("import", "fleet:import_fleet", "Fill the installation from a fleet file."),
    ("export", "fleet:export_fleet", "Write the installation as a fleet file."),
    ("account", "accounts:app", "Look at accounts."),
    ("package", "packages:app", "Add software to the catalogue, and look at it."),
    ("subscription", "subscriptions:app", "See and change what accounts have bought."),
    ("device", "devices:app", "Look at single devices, their tokens and their accounts."),
    ("campaign", "campaigns:app", "Look at campaigns, and watch them."),
    ("explain", "truth:explain", "Say why a device is waiting, and until when."),
    ("verify", "truth:verify", "Recount every counter and check every invariant."),
    ("network", "networks:app", "Say by hand what the network would tell of a device."),
    ("token", "tokens:app", "Make and end the tokens of the network feed."),
    ("callbacks", "callbacks:callbacks", "Look at callbacks and their deliveries."),
    ("simulate", "simulate:simulate", "Run a fleet of simulated devices."),
    ("simulation", "simulation:app", "Run the whole system under a seed, in virtual time."),
    ("demo", "demo:demo", "Run a whole campaign over simulated devices, then stay up."),
    ("openapi", "server:openapi", "Print the OpenAPI document of the management API."),
)
for _name, _place, _help in COMMANDS:
    app.command(f"overair.cli.{_place}", name=_name, help=_help)


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
    except UnknownCommandError as error:
        return _fail(_unknown(error), 2, arguments)
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


def _unknown(error: UnknownCommandError) -> str:
    """Our own sentence: the library's would load every command to look for a similar one."""
    chain = error.command_chain or ()
    word = (error.unused_tokens or ["that"])[0]
    known = list(error.app) if chain and error.app is not None else [name for name, *_ in COMMANDS]
    near = difflib.get_close_matches(word, known, 1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else f"`{' '.join(['overair', *chain])} --help` lists them"
    )
    return f"there is no command {' '.join([*chain, word])}; {hint}"


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
