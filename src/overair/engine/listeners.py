"""Registering and deleting callback listeners (``api.md`` 4.13 and 5.17).

An account has one for each API version. Registering replaces the one before, and its *generation*
grows: messages queued for an earlier generation are dropped, never sent to the new listener. The
deliverer does that, a few at a time, because a queue may be long and a request should not wait for
it. Registering exactly what is registered already changes nothing and drops nothing: clients do so
each time they start.
"""

from datetime import datetime

from overair.config import Settings
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId
from overair.core.listener import ListenerRules, is_credential, url_problem
from overair.store import callbacks
from overair.store.callbacks import Listener, ListenerKey
from overair.store.database import Tx


def rules_of(settings: Settings) -> ListenerRules:
    """What this installation says about listeners."""
    return ListenerRules(
        plain_http=settings.callback_plain_http,
        private_addresses=settings.callback_private_addresses,
    )


def register(
    tx: Tx,
    account_id: AccountId,
    api_version: int,
    url: str,
    rules: ListenerRules,
    now: datetime,
    *,
    username: str = "",
    password: str = "",
) -> Listener:
    """Create or replace the account's listener for that API version. Raises RequestError."""
    if url_problem(url, api_version, rules) is not None:
        raise RequestError(Refusal.CALLBACK_URL)
    for member, value in (("username", username), ("password", password)):
        if not is_credential(value):
            raise RequestError(Refusal.VALUE, member=member)
    key = ListenerKey(account_id, api_version)
    callbacks.lock_listener(tx, key, wait=True)
    present = callbacks.listener(tx, account_id, api_version)
    if present is None or (present.url, present.username, present.password) != (
        url,
        username,
        password,
    ):
        callbacks.put_listener(tx, key, url, username, password, now)
        tx.hint("callbacks")
        present = callbacks.listener(tx, account_id, api_version)
    assert present is not None
    return present


def delete(tx: Tx, account_id: AccountId, api_version: int, now: datetime) -> None:
    """Delete the listener; what is queued for it is dropped. Raises RequestError."""
    key = ListenerKey(account_id, api_version)
    callbacks.lock_listener(tx, key, wait=True)
    if callbacks.listener(tx, account_id, api_version) is None:
        raise RequestError(Refusal.CALLBACK_NOT_REGISTERED)
    callbacks.put_listener(tx, key, "", "", "", now)
    tx.hint("callbacks")


def get(tx: Tx, account_id: AccountId, api_version: int) -> Listener | None:
    """The listener, None where there is none."""
    return callbacks.listener(tx, account_id, api_version)
