"""``overair token add|list|revoke``: bearer tokens for those who feed in what the network sees."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from overair.cli import CommandError
from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.cli.screen import Screen, columns
from overair.core.credentials import fingerprint
from overair.ids import new_token
from overair.store import operators
from overair.store.operators import OperatorToken

app = App(name="token", help="Make and end the tokens of the network feed.")

TOKEN_BYTES = 32
NAME_LENGTH = 64
SHOWN = 1000

Name = Annotated[str, Parameter(help="Whose token it is: any word.")]


@app.command
def add(name: Name, common: Common = DEFAULT) -> int:
    """Make a token and show it, this once: only its fingerprint is kept."""
    if not name.strip() or len(name) > NAME_LENGTH or not name.isprintable():
        raise CommandError(f"a token's name has 1 to {NAME_LENGTH} printable characters")
    token = new_token(TOKEN_BYTES)

    async def work(installation: Installation) -> bool:
        now = installation.clock.now()
        return await installation.db.transact(operators.add, name, fingerprint(token), now)

    if not with_installation(common.settings(), work):
        raise CommandError(
            f"there is a token {name} already; end it with `overair token revoke {name}`, or choose"
            " another name"
        )
    if common.as_json:
        print_json({"name": name, "token": token})
    else:
        # By itself on its line, so that it can be taken with a pipe.
        print(token)
    return 0


@app.command(name="list")
def list_tokens(common: Common = DEFAULT) -> int:
    """List the tokens, the latest first, without themselves."""

    async def work(installation: Installation) -> list[OperatorToken]:
        return await installation.db.report(operators.tokens, SHOWN)

    found = with_installation(common.settings(), work)
    if common.as_json:
        print_json([_as_json(token) for token in found])
        return 0
    table = columns("name", "made", "ended")
    for token in found:
        ended = f"{token.revoked_at:%Y-%m-%d %H:%M:%S}" if token.revoked_at else ""
        table.add_row(token.name, f"{token.created_at:%Y-%m-%d %H:%M:%S}", ended)
    Screen().print(table if found else "There are no tokens: `overair token add NAME` makes one.")
    return 0


def _as_json(token: OperatorToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "createdAt": token.created_at.isoformat(),
        "revokedAt": None if token.revoked_at is None else token.revoked_at.isoformat(),
    }


@app.command
def revoke(name: Name, common: Common = DEFAULT) -> int:
    """End a token, at once."""

    async def work(installation: Installation) -> bool:
        return await installation.db.transact(operators.revoke, name, installation.clock.now())

    if not with_installation(common.settings(), work):
        raise CommandError(f"there is no valid token {name}; see `overair token list`")
    if common.as_json:
        print_json({"name": name, "revoked": True})
    else:
        Screen().print(f"The token {name} opens nothing from now on.")
    return 0
