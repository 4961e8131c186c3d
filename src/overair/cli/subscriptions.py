"""``overair subscription set|show``: what an account has bought."""

from typing import Annotated

from cyclopts import App, Parameter

from overair.cli import CommandError
from overair.cli.options import DEFAULT, Common, Installation, print_json, with_installation
from overair.core.ids import AccountId
from overair.core.licenses import LicenseTermsError
from overair.engine.buying import subscribe
from overair.engine.fleet import account_ids
from overair.engine.licenses import Purchase
from overair.store import subscriptions
from overair.store.database import Tx
from overair.store.subscriptions import Subscription

app = App(name="subscription", help="See and change what accounts have bought.")

AccountName = Annotated[str, Parameter(help="The account's name.")]


def _id(tx: Tx, account: str) -> AccountId:
    found = account_ids(tx).get(account)
    if found is None:
        raise CommandError(f"there is no account {account}; see `overair account list`")
    return found


@app.command(name="set")
def set_subscription(
    account: AccountName,
    common: Common = DEFAULT,
    *,
    license_count: Annotated[
        int | None, Parameter(help="Licences in the pool. Default: as it is, or 0.")
    ] = None,
    purchase_type: Annotated[
        str | None,
        Parameter(help="TS-HFOTA-MRC, TS-HFOTA-EVNT or both with a comma. Default: as it is."),
    ] = None,
) -> int:
    """Change a subscription, or make the account's first.

    A pool that gets smaller than the licences in use takes licences away: from the devices on the
    cancellation list first, then from those that have had one for longest. Without TS-HFOTA-EVNT what
    is scheduled on devices that have no licence, and has not started, is cancelled: assign licences first.
    """

    def read(tx: Tx) -> tuple[AccountId, Subscription | None]:
        account_id = _id(tx, account)
        return account_id, subscriptions.get(tx, account_id)

    async def work(installation: Installation) -> tuple[Subscription, int]:
        account_id, present = await installation.db.report(read)
        kind = purchase_type or (present.purchase_type if present else None)
        if kind is None:
            raise CommandError(f"account {account} has no subscription yet: give --purchase-type")
        count = license_count
        if count is None:
            count = present.license_count if present else 0
        purchase = Purchase(account_id=account_id, purchase_type=kind, license_count=count)
        try:
            changed = await subscribe(
                installation.db, purchase, installation.settings, installation.clock
            )
        except LicenseTermsError as error:
            raise CommandError(f"{error}") from error
        before = present.license_used_count if present else 0
        return changed, before - changed.license_used_count

    found, taken = with_installation(common.settings(), work)
    status = _show(account, found, common)
    if taken and not common.as_json:
        print(f"Licences taken away: {taken}.")
    return status


@app.command
def show(account: AccountName, common: Common = DEFAULT) -> int:
    """Show an account's subscription."""

    def read(tx: Tx) -> Subscription | None:
        return subscriptions.get(tx, _id(tx, account))

    async def work(installation: Installation) -> Subscription | None:
        return await installation.db.report(read)

    found = with_installation(common.settings(), work)
    if found is None:
        raise CommandError(
            f"account {account} has no subscription:"
            f" `overair subscription set {account} --purchase-type …` makes one",
            status=1,
        )
    return _show(account, found, common)


def _show(account: str, found: Subscription, common: Common) -> int:
    if common.as_json:
        print_json(
            {
                "accountName": account,
                "purchaseType": found.purchase_type,
                "licenseCount": found.license_count,
                "licenseUsedCount": found.license_used_count,
                "updateTime": found.updated_at,
            }
        )
    else:
        print(
            f"Account {account} has bought {found.purchase_type}:"
            f" {found.license_used_count} of {found.license_count} licences are in use"
            f" (changed {found.updated_at:%Y-%m-%d %H:%M:%S} UTC)."
        )
    return 0
