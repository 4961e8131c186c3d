"""``overair callbacks``: what became of the messages for callback listeners, attempt by attempt.

A listener's address is not shown, for it may carry a secret, and neither is what was sent.
"""

from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.cli.screen import Screen
from overair.store import callback_log
from overair.store.callback_log import Delivery


def _as_json(line: Delivery) -> dict[str, Any]:
    return {
        "id": line.id,
        "messageId": line.message_id,
        "accountName": line.account_name,
        "apiVersion": line.api_version,
        "stream": line.stream,
        "state": line.state,
        "attempts": line.attempts,
        "queuedAt": line.created_at.isoformat(),
        "at": line.at.isoformat(),
        "status": line.status,
        "error": line.error,
        "durationMs": line.duration_ms,
        "dueAt": None if line.due_at is None else line.due_at.isoformat(),
    }


def callbacks(
    *,
    account: Annotated[str | None, Parameter(help="Only of this account.")] = None,
    campaign: Annotated[
        str | None, Parameter(help="Only of this campaign's id, or `catalogue`.")
    ] = None,
    state: Annotated[
        Literal["queued", "delivered", "dropped"] | None,
        Parameter(help="Only of messages in this state."),
    ] = None,
    before: Annotated[
        int | None, Parameter(help="Only attempts before this number: the next page.")
    ] = None,
    limit: Annotated[
        int, Parameter(help="How many to show.", validator=Number(gte=1, lte=10_000))
    ] = 50,
    common: Common = DEFAULT,
) -> int:
    """List attempts to deliver callbacks, latest first, and how many messages still wait."""

    async def work(installation: Installation) -> tuple[list[Delivery], int]:
        found = await installation.db.report(
            callback_log.list_deliveries,
            account_name=account,
            stream=campaign.lower() if campaign else None,
            state=state,
            before=before,
            limit=limit,
        )
        return found, await installation.db.report(callback_log.outbox_depth)

    found, waiting = with_installation(common.settings(), work)
    if common.as_json:
        print_json({"waiting": waiting, "deliveries": [_as_json(line) for line in found]})
        return 0
    # No table: a campaign's id that is cut to fit a column cannot be given to --campaign.
    screen = Screen()
    for line in found:
        answer = " ".join(str(part) for part in (line.status, line.error) if part)
        screen.print(
            f"{line.id}  {line.at:%Y-%m-%d %H:%M:%S}  {answer} after {line.duration_ms} ms;"
            f" message {line.message_id} is {_standing(line)}"
        )
        screen.print(f"    {line.account_name} v{line.api_version} {line.stream}")
    if not found:
        screen.print("No callback was tried.")
    screen.print("1 message waits." if waiting == 1 else f"{waiting} messages wait.")
    return 0


def _standing(line: Delivery) -> str:
    if line.state == "queued" and line.due_at is not None:
        return f"queued, tried {line.attempts} times, next at {line.due_at:%Y-%m-%d %H:%M:%S}"
    return line.state
