"""What the operator asks of campaigns: schedule, change, stop.

Only the request as a whole is checked here, and refused with a row of the error catalogue
(``lifecycle.md`` 2.2); the devices are checked afterwards, by ``engine/advance.py``, and a long list
is not even expanded here: it is queued in pieces that the engine takes one by one, so that no
transaction is as large as a campaign.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from overair.config import Settings
from overair.core.campaign import BEFORE_START, IGNORE, REFUSE, CampaignEvent, CampaignStatus, after
from overair.core.errors import Refusal, RequestError
from overair.core.ids import AccountId, CampaignId, PackageId
from overair.core.terms import TERMS, Terms
from overair.core.upgrade import Reason, UpgradeEvent, UpgradeState
from overair.core.window import Window, end_of, start_of
from overair.engine import admission
from overair.engine.notify import notify_campaign
from overair.store import (
    campaigns,
    changes,
    packages,
    proofs,
    push,
    subscriptions,
    tally,
    upgrades,
)
from overair.store.campaigns import Campaign, Dates, NewCampaign
from overair.store.database import Tx

NOTICE = timedelta(hours=24)  # the least time that a running campaign is left with (4.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRequest:
    """A campaign as it is asked for. ``end_date`` None: as long as the version's terms say."""

    uuid: str
    account_id: AccountId
    api_version: int
    kind: str  # software, file
    name: str
    package_name: str
    from_version: str | None  # None for files, and in v1, which does not say it
    to_version: str
    protocols: frozenset[str]  # of which the package may be: OMADM, LWM2M, HTTP
    distribution_type: str  # as it will be shown; in v1 it is not
    start_date: date
    end_date: date | None
    download_after: date | None
    download_windows: tuple[Window, ...]
    install_after: date | None
    install_windows: tuple[Window, ...]
    imeis: Sequence[str]
    auto_assign_licenses: bool = False  # to devices that have none, while there are any
    auto_add_devices: bool = False  # that fit, and come into the account later


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    """How a version says that a package cannot be had, or a campaign not be changed any more."""

    not_found: Refusal
    versions: Refusal
    protocol: Refusal
    started: Refusal


_WORDS = {
    1: _Words(
        not_found=Refusal.FIRMWARE_NOT_FOUND,
        versions=Refusal.FIRMWARE_VERSIONS,
        protocol=Refusal.FIRMWARE_NOT_FOUND,  # v1 lists no other
        started=Refusal.UPGRADE_STARTED,
    ),
    2: _Words(
        not_found=Refusal.SOFTWARE_NOT_FOUND,
        versions=Refusal.SOFTWARE_VERSIONS,
        protocol=Refusal.DISTRIBUTION_TYPE,
        started=Refusal.NOT_MODIFIABLE,
    ),
    3: _Words(
        not_found=Refusal.FIRMWARE_NOT_FOUND,
        versions=Refusal.FIRMWARE_VERSIONS,
        protocol=Refusal.PROTOCOL,
        started=Refusal.NOT_MODIFIABLE,
    ),
}


def schedule_campaign(
    tx: Tx, request: CampaignRequest, settings: Settings, now: datetime
) -> Campaign:
    """Take a campaign on, pending its device checks. Raises RequestError."""
    if subscriptions.get(tx, request.account_id) is None:
        raise RequestError(Refusal.NOT_SUBSCRIBED)
    terms = TERMS[request.api_version]
    package_id = _package(tx, request)
    dates = _dates(
        Dates(
            start_date=request.start_date,
            end_date=request.end_date or request.start_date + timedelta(days=terms.days),
            download_after=request.download_after,
            download_windows=request.download_windows,
            install_after=request.install_after,
            install_windows=request.install_windows,
        ),
        terms,
        now,
    )
    imeis = list(dict.fromkeys(request.imeis))
    _check_list(len(imeis), settings)
    if terms.pilot and not _is_proven(tx, request.account_id, package_id):
        _check_pilot(len(imeis), settings)
    campaign_id = campaigns.insert(
        tx,
        NewCampaign(
            uuid=request.uuid,
            account_id=request.account_id,
            api_version=request.api_version,
            kind=request.kind,
            name=request.name,
            package_id=package_id,
            distribution_type=request.distribution_type,
            start_date=dates.start_date,
            end_date=dates.end_date,
            download_after=dates.download_after,
            download_windows=dates.download_windows,
            install_after=dates.install_after,
            install_windows=dates.install_windows,
            auto_assign_licenses=request.auto_assign_licenses,
            auto_add_devices=request.auto_add_devices,
        ),
        now,
    )
    size = settings.limits.sweep_devices
    first, rest = imeis[:size], imeis[size:]
    admission.add(tx, campaign_id, first, now)
    _queue_change(tx, campaign_id, request.uuid, "append", rest, size, now)
    tx.hint("advance")
    return campaigns.by_id(tx, campaign_id)


def _package(tx: Tx, request: CampaignRequest) -> PackageId:
    if request.kind == "file":
        found = packages.find_file(tx, request.account_id, request.package_name, request.to_version)
        if found is None or found.artifact_sha256 is None:
            raise RequestError(Refusal.FILE_NOT_FOUND)
    else:
        found = packages.find_software(tx, request.account_id, request.package_name)
        words = _WORDS[request.api_version]
        if found is None or found.artifact_sha256 is None:
            raise RequestError(words.not_found)
        begins = request.from_version in (None, found.from_version)
        if not begins or request.to_version != found.to_version:
            raise RequestError(words.versions)
    if found.protocol not in request.protocols:
        raise RequestError(_WORDS[request.api_version].protocol)
    return found.id


def _dates(dates: Dates, terms: Terms, now: datetime) -> Dates:
    """The dates of a campaign before its start, checked; an on-demand one may be capped."""
    today = now.date()
    if dates.start_date < today:
        raise RequestError(Refusal.START_DATE)
    if dates.end_date < dates.start_date:
        raise RequestError(Refusal.END_BEFORE_START)
    for day, refusal in (
        (dates.download_after, Refusal.DOWNLOAD_AFTER_DATE),
        (dates.install_after, Refusal.INSTALL_AFTER_DATE),
    ):
        if day is not None and day > dates.end_date:
            raise RequestError(refusal)
    if dates.start_date == today and terms.on_demand_days is not None:
        most = dates.start_date + timedelta(days=terms.on_demand_days)
        return replace(dates, end_date=min(dates.end_date, most))
    return dates


def _check_list(given: int, settings: Settings) -> None:
    limits = settings.limits
    if not given:
        raise RequestError(Refusal.DEVICE_LIST_EMPTY)
    if given > limits.request_devices:
        raise RequestError(Refusal.DEVICE_LIST_TOO_LONG, limit=limits.request_devices)


def _is_proven(tx: Tx, account_id: AccountId, package_id: PackageId) -> bool:
    proof = proofs.get(tx, account_id, package_id)
    return proof is not None and proof.proven_at is not None


def _check_pilot(size: int, settings: Settings) -> None:
    """How large a campaign of a package that is not proven may be (``core/pilot.py``)."""
    limit = settings.limits.pilot_devices
    if size > limit:
        raise RequestError(Refusal.PILOT_LIMIT, limit=limit)


def _queue_change(
    tx: Tx,
    campaign_id: CampaignId,
    uuid: str,
    type_: str,
    imeis: Sequence[str],
    size: int,
    now: datetime,
) -> None:
    for number, start in enumerate(range(0, len(imeis), size)):
        piece = imeis[start : start + size]
        changes.add(tx, campaign_id, f"{uuid}.{number}", type_, piece, now)


def change_devices(
    tx: Tx,
    campaign: Campaign,
    type_: str,
    imeis: Sequence[str],
    request_id: str,
    settings: Settings,
    now: datetime,
) -> None:
    """Ask for devices to be added (``append``) or taken out (``remove``) before the start.

    The work is done by the engine, in the order asked. Raises RequestError.
    """
    campaign = campaigns.by_id(tx, campaign.id, lock=True)
    if campaign.status not in BEFORE_START:
        raise RequestError(Refusal.NOT_MODIFIABLE)
    wanted = list(dict.fromkeys(imeis))
    _check_list(len(wanted), settings)
    if type_ == "append":
        _check_growth(tx, campaign, wanted, settings)
    piece = settings.limits.sweep_devices
    _queue_change(tx, campaign.id, request_id, type_, wanted, piece, now)
    campaigns.set_due(tx, campaign.id, now)
    tx.hint("advance")


def _check_growth(tx: Tx, campaign: Campaign, added: Sequence[str], settings: Settings) -> None:
    """A campaign of a package that is not proven stays small, whoever is added to it."""
    pilot = TERMS[campaign.api_version].pilot
    if pilot and not _is_proven(tx, campaign.account_id, campaign.package_id):
        _check_pilot(len(_members_after(tx, campaign.id, added)), settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedDevice:
    """What became of one device that was to be added or taken out."""

    imei: str
    done: bool
    reason: Reason = Reason.NONE  # why not; NONE for a device to take out that was not there


def change_devices_now(
    tx: Tx,
    campaign: Campaign,
    type_: str,
    imeis: Sequence[str],
    settings: Settings,
    now: datetime,
) -> list[ChangedDevice]:
    """Add devices or take them out before the start, and say at once what became of each.

    The caller gives no more than fit one transaction. Raises RequestError.
    """
    campaign = campaigns.by_id(tx, campaign.id, lock=True)
    if campaign.status not in BEFORE_START:
        raise RequestError(_WORDS[campaign.api_version].started)
    while (change := changes.next_of(tx, campaign.id)) is not None:
        admission.carry_out(tx, campaign, change, now)  # what was asked for before comes first
    wanted = list(dict.fromkeys(imeis))
    _check_list(len(wanted), settings)
    if type_ == "append":
        _check_growth(tx, campaign, wanted, settings)
        changed = _let_in(tx, campaign, wanted, settings, now)
    else:
        found = upgrades.of_imeis(tx, campaign.id, wanted)
        admission.take_out(tx, campaign, found)
        gone = {upgrade.imei for upgrade in found}
        changed = [ChangedDevice(imei=imei, done=imei in gone) for imei in wanted]
        if not tally.counts(tx, campaign.id):
            # To take every device out is a way to cancel (``api.md`` 4.9).
            stop_campaign(tx, campaign, now)
            return changed
    campaigns.set_due(tx, campaign.id, now)
    tx.hint("advance")
    return changed


def _let_in(
    tx: Tx, campaign: Campaign, imeis: Sequence[str], settings: Settings, now: datetime
) -> list[ChangedDevice]:
    """Check devices as they come; who is new and does not pass is not in the campaign."""
    present = {u.imei: u for u in upgrades.of_imeis(tx, campaign.id, imeis)}
    rejected = [u for u in present.values() if u.state is UpgradeState.REJECTED]
    admission.remove(tx, campaign.id, rejected)  # it may pass by now
    admission.invite(tx, campaign, imeis)
    admission.add(tx, campaign.id, imeis, now)
    new = [
        upgrade
        for upgrade in upgrades.of_imeis(tx, campaign.id, imeis)
        if upgrade.state is UpgradeState.REQUESTED
    ]
    admission.check(tx, campaign, new, settings, now)
    checked = {u.imei: u for u in upgrades.of_imeis(tx, campaign.id, imeis)}
    failed = [u for u in checked.values() if u.state is UpgradeState.REJECTED]
    admission.remove(tx, campaign.id, [u for u in failed if u.imei not in present])
    return [
        ChangedDevice(
            imei=imei,
            done=checked[imei].state is not UpgradeState.REJECTED,
            reason=checked[imei].reason,
        )
        for imei in imeis
    ]


def _members_after(tx: Tx, campaign_id: CampaignId, added: Sequence[str]) -> set[str]:
    """Who will be in the campaign once everything that was asked for is carried out, and this."""
    members = upgrades.imeis(tx, campaign_id)
    for change in changes.of_campaign(tx, campaign_id):
        if change.type == "append":
            members.update(change.imeis)
        else:
            members.difference_update(change.imeis)
    return members.union(added)


def change_dates(
    tx: Tx, campaign: Campaign, dates: Dates, settings: Settings, now: datetime
) -> Campaign:
    """Replace dates and windows (``lifecycle.md`` 4.6, 5.7). Raises RequestError."""
    campaign = campaigns.by_id(tx, campaign.id, lock=True)
    terms = TERMS[campaign.api_version]
    waits = _waits(campaign, terms, now)
    if campaign.status in BEFORE_START or waits:
        new = _dates(dates, terms, now)
    elif campaign.status is CampaignStatus.SCHEDULED and now < campaign.rules.ends_at:
        new = _running_dates(campaign, dates, terms, now)
    else:
        raise RequestError(Refusal.NOT_MODIFIABLE)
    campaigns.set_dates(tx, campaign.id, new, now)
    if terms.slots:
        _replan(tx, campaign, now, waits=waits)
    tx.hint("advance")
    return campaigns.by_id(tx, campaign.id)


def _waits(campaign: Campaign, terms: Terms, now: datetime) -> bool:
    """Whether it has its slots, and its start date is still to come."""
    scheduled = terms.slots and campaign.status is CampaignStatus.SCHEDULED
    return scheduled and now < start_of(campaign.start_date)


def _replan(tx: Tx, campaign: Campaign, now: datetime, *, waits: bool) -> None:
    """Places in the old dates may be none in the new ones, or late: before the start all are given anew.

    After it, who has none looks again, and who has one keeps it if it still is one.
    """
    if campaign.status is CampaignStatus.SCHEDULED and not waits:
        push.look_again(tx, campaign.id, now)
        tx.hint("push")
        return
    upgrades.unplan(tx, campaign.id)
    if waits:
        back = CampaignStatus(after(campaign.status, CampaignEvent.REPLANNED))
        campaigns.set_status(tx, campaign.id, campaign.status, back, due_at=now)
        notify_campaign(tx, campaigns.by_id(tx, campaign.id), now)


def _running_dates(campaign: Campaign, dates: Dates, terms: Terms, now: datetime) -> Dates:
    if dates.start_date != campaign.start_date:
        raise RequestError(Refusal.START_DATE)
    if dates.end_date < dates.start_date:
        raise RequestError(Refusal.END_BEFORE_START)
    if dates.end_date != campaign.end_date and end_of(dates.end_date) < now + NOTICE:
        raise RequestError(Refusal.END_TOO_SOON)
    if dates.download_after != campaign.download_after:
        raise RequestError(Refusal.DOWNLOAD_AFTER_DATE)
    if dates.install_after != campaign.install_after:
        raise RequestError(Refusal.INSTALL_AFTER_DATE)
    for old, new in (
        (campaign.download_windows, dates.download_windows),
        (campaign.install_windows, dates.install_windows),
    ):
        if not set(old) <= set(new):
            raise RequestError(Refusal.TIME_WINDOW_REMOVED)
        if terms.slots and set(old) != set(new):
            raise RequestError(Refusal.TIME_WINDOW_ADDED)
    return dates


def stop_campaign(
    tx: Tx, campaign: Campaign, now: datetime, *, abortable: bool = False
) -> Campaign:
    """Cancel before the start, abort after it; from this moment nothing is offered.

    Raises RequestError if it is over, or has started and neither its version's terms nor the installation
    (``abortable``) let it be stopped.
    """
    campaign = campaigns.by_id(tx, campaign.id, lock=True)
    terms = TERMS[campaign.api_version]
    event = CampaignEvent.WITHDRAWN if _waits(campaign, terms, now) else CampaignEvent.STOPPED
    if (
        event is CampaignEvent.STOPPED
        and campaign.status is CampaignStatus.SCHEDULED
        and (now >= campaign.rules.ends_at or not (terms.stoppable or abortable))
    ):
        raise RequestError(Refusal.NOT_CANCELLABLE)
    new = after(campaign.status, event)
    if new in (REFUSE, IGNORE):
        raise RequestError(Refusal.NOT_CANCELLABLE)
    changes.drop(tx, campaign.id)
    closing = UpgradeEvent.CANCEL if new is CampaignStatus.CANCELLED else UpgradeEvent.ABORT
    campaigns.set_status(
        tx,
        campaign.id,
        campaign.status,
        CampaignStatus(new),
        due_at=now,
        closing=closing,
        ended_at=now,
    )
    stopped = campaigns.by_id(tx, campaign.id)
    notify_campaign(tx, stopped, now)
    tx.hint("advance")
    return stopped


def begin_at(campaign: Campaign, settings: Settings) -> datetime:
    """When it starts: 00:00 of its start date, or on demand (``lifecycle.md`` 4.1, 4.3)."""
    on_demand = campaign.created_at + timedelta(seconds=settings.on_demand_delay_s)
    return max(start_of(campaign.start_date), on_demand)
