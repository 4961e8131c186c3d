"""What a state is, for the exploration: two contents with the same form have the same future.

Left out is what no rule reads: when something happened, words, messages that were queued, counters that
``verify`` compares with a recount anyway, numbers of sessions. Ids are replaced by the order in which
they were given to one device. An instant that has passed is only that: the rules ask whether it has.

That nothing is left out on which something depends is a test: it compares what may follow from
contents that have the same form (``tests/simulation/test_explore.py``).
"""

from hashlib import blake2b
from typing import Any

from overair.core.attempt import LINKED, AttemptState
from overair.simulation.explore.view import Record, Try, View

Key = bytes

_CAMPAIGN = (
    "status",
    "closing",
    "start_date",
    "end_date",
    "download_windows",
    "install_windows",
    "auto_add_devices",
    "auto_assign_licenses",
    "lease_owner",
)
_NETWORK = (
    "cell",
    "signal_dbm",
    "reachable",
    "registered",
    "queue_mode",
    "lifetime_s",
)


def key_of(view: View, now_ms: int) -> Key:
    """The form of a content at an instant, in few bytes."""
    return blake2b(repr(form_of(view, now_ms)).encode(), digest_size=16).digest()


def form_of(view: View, now_ms: int) -> tuple[Any, ...]:
    """All of a content on which its future may depend."""
    numbers = {device["imei"]: n for n, device in enumerate(view.devices, 1)}
    return (
        now_ms,
        tuple(
            (*_pick(campaign, _CAMPAIGN), _ahead(campaign["due_at"], now_ms))
            for campaign in view.campaigns
        ),
        tuple(
            (change["campaign_id"], change["type"], change["imeis"])
            for change in view.rows("campaign_change")
        ),
        # The engine takes devices in the order in which they came into the campaign.
        tuple((upgrade["campaign_id"], numbers[upgrade["imei"]]) for upgrade in view.upgrades),
        tuple(
            (row["purchase_type"], row["license_count"], row["license_used_count"])
            for row in view.rows("subscription")
        ),
        # The oldest goes first, and of those given at the same instant the first device's.
        tuple(
            (row["device_id"], row["assigned_at"] == now_ms)
            for row in sorted(
                view.rows("license"), key=lambda row: (row["assigned_at"], row["device_id"])
            )
        ),
        tuple(
            (row["package_id"], row["succeeded"], row["failed"], row["proven_at"] is not None)
            for row in view.rows("package_proof")
        ),
        tuple(
            sorted(
                (row["cell"], row["slot_key"], row["share"])
                for row in view.rows("slot_taken")
                if row["share"]
            )
        ),
        tuple(_device(view, device, now_ms) for device in view.devices),
    )


def _device(view: View, device: Record, now_ms: int) -> tuple[Any, ...]:
    tries = view.tries(device["id"])
    order = {each.id: each.number for each in tries}
    places = view.upgrades_of(device["imei"])
    campaigns = {upgrade["id"]: upgrade["campaign_id"] for upgrade in places}
    license_ = view.by("license", "device_id").get(device["id"])
    network = view.by("device_network", "device_id").get(device["id"])
    return (
        device["version"],
        device["protocol"],
        campaigns.get(device["open_upgrade_id"]),
        order.get(device["open_attempt_id"]),
        order.get(device["installed_attempt_id"]),
        license_ and (license_["used_at"] is not None, license_["ends_after_upgrade"]),
        network and _network(network, now_ms),
        tuple(_upgrade(view, upgrade, now_ms) for upgrade in places),
        tuple(_attempt(each, campaigns, now_ms) for each in tries),
    )


def _upgrade(view: View, upgrade: Record, now_ms: int) -> tuple[Any, ...]:
    slot = view.by("slot", "upgrade_id").get(upgrade["id"])
    return (
        upgrade["campaign_id"],
        upgrade["state"],
        upgrade["reason"],
        upgrade["attempts"],
        upgrade["device_id"] is not None,
        _later(upgrade["not_before"], now_ms),
        _ahead(upgrade["due_at"], now_ms),
        slot and (slot["cell"], slot["slot_key"], slot["share"], slot["ends_at"], slot["begun"]),
    )


def _attempt(each: Try, campaigns: dict[int, int], now_ms: int) -> tuple[Any, ...]:
    own = each.own
    plain = (
        campaigns[own["upgrade_id"]],
        own["state"],
        own["downloaded_at"] is not None,
        own["cancel_refused_at"] is not None,
    )
    if each.state not in LINKED and each.state is not AttemptState.CANCELLING:
        # What is still asked of an attempt that is over is whether it may yet have succeeded.
        return plain
    return (*plain, own["coverage"], own["downloads"], _ahead(own["due_at"], now_ms), _push(each))


def _push(each: Try) -> tuple[Any, ...] | None:
    push = each.push
    if push is None:
        return None
    return (
        push["called_at"],
        push["window_ends_at"],
        push["pushed_at"],
        # A device at work is silent since it was told to begin, or, if it never was, since the offer.
        push["executed_at"] or -each.own["offered_at"],
        push["verify_until"],
        push["download_only"],
    )


def _network(network: Record, now_ms: int) -> tuple[Any, ...]:
    """What is newer, the device's word or the network's, is asked; when they were, is not."""
    return (
        *_pick(network, _NETWORK),
        (network["reachable_at"] or 0) > (network["heard_at"] or 0),
        network["heard_at"] if network["queue_mode"] else None,
        (network["heard_at"] or 0) < now_ms,
        (network["reachable_at"] or 0) < now_ms,
        (network["located_at"] or 0) < now_ms,
    )


def _pick(row: Record, names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def _ahead(instant: int | None, now_ms: int) -> int | None:
    """An instant at which something is to be done: 0 if it has come."""
    return 0 if instant is not None and instant <= now_ms else instant


def _later(instant: int | None, now_ms: int) -> int | None:
    """An instant before which something may not be: None if that is over."""
    return None if instant is not None and instant <= now_ms else instant
