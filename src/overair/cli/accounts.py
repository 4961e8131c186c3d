"""``overair account list``: the accounts and how much is in them."""

from typing import Any

from cyclopts import App

from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.cli.screen import Screen, columns
from overair.store import devices, fleet, subscriptions
from overair.store.database import Tx

app = App(name="account", help="Look at accounts. They are made with `overair import`.")


def _all(tx: Tx) -> list[dict[str, Any]]:
    found = []
    for account_id, account in fleet.accounts(tx).items():
        bought = subscriptions.get(tx, account_id)
        found.append(
            {
                "name": account.name,
                "alias": account.alias,
                "active": account.active,
                "gatewayToken": account.gateway_token_hash is not None,
                "autoRegister": account.auto_register,
                "pollInterval": account.poll_interval_s,
                "purchaseType": bought and bought.purchase_type,
                "licenseCount": bought and bought.license_count,
                "licenseUsedCount": bought and bought.license_used_count,
                "devices": devices.count(tx, account_id),
            }
        )
    return found


@app.command(name="list")
def list_accounts(common: Common = DEFAULT) -> int:
    """List every account with its subscription and the number of its devices."""

    async def work(installation: Installation) -> list[dict[str, Any]]:
        return await installation.db.report(_all)

    found = with_installation(common.settings(), work)
    if common.as_json:
        print_json(found)
        return 0
    table = columns("account", "alias", "active", "devices", "licences", "subscription")
    for each in found:
        has_pool = each["licenseCount"] is not None
        table.add_row(
            each["name"],
            each["alias"] or "",
            "yes" if each["active"] else "no",
            str(each["devices"]),
            f"{each['licenseUsedCount']} of {each['licenseCount']}" if has_pool else "",
            each["purchaseType"] or "none",
        )
    Screen().print(table if found else "There are no accounts: `overair import FILE` makes them.")
    return 0
