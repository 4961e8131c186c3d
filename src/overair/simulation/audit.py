"""What somebody who has only the published API is told when all is over, against what the store holds.

Every campaign is asked for in the version that it was made in, every device in the list of v2, and the history
of each device that was in a campaign, in the version of the campaign. The words
are in ``words.py``.
"""

from collections.abc import AsyncIterator
from typing import Any

from overair.simulation.invariants import Bench
from overair.simulation.template import ACCOUNT
from overair.simulation.words import CAMPAIGNS, DEVICES
from overair.store import witness


async def told_truly(judge: Bench, world: Any) -> AsyncIterator[str]:
    """What the API says of campaigns and devices at the end is what the store holds."""
    dice = world.scenario.dice("auditor")

    async def get(path: str) -> Any:
        return await world.operator.call(dice, "GET", f"/api/fota/{path}")

    held: dict[str, dict[str, str]] = {}
    for member in witness.members(judge.tx):
        held.setdefault(member.uuid, {})[member.imei] = member.state
    known = witness.campaigns(judge.tx)
    for asked in world.ledger.campaigns.values():
        if asked.uuid not in known:
            continue  # another rule's
        version, status = asked.version, known[asked.uuid][0]
        shown_status, shown = await (_upgrade if version == 1 else _campaign)(
            get, version, asked.uuid
        )
        if version == 1 and status == "cancelled":
            if shown_status is not None:
                yield f"{asked.name} was cancelled, and is shown as {shown_status}"
            continue
        word = CAMPAIGNS[min(version, 2)].get(status, status)
        if shown_status != word:
            yield f"{asked.name} is shown as {shown_status}, and is {status}"
        members = held.get(asked.uuid, {})
        if shown.keys() != members.keys():
            yield f"{asked.name} shows {sorted(shown)}, and holds {sorted(members)}"
        for imei in shown.keys() & members.keys():
            if shown[imei] not in DEVICES[version].get(members[imei], ()):
                yield f"{imei} in {asked.name} is shown as {shown[imei]}, and is {members[imei]}"
    async for text in _devices(judge, get):
        yield text
    async for text in _histories(judge, get):
        yield text


async def _upgrade(get: Any, version: int, uuid: str) -> tuple[str | None, dict[str, str]]:
    answer = await get(f"v1/upgrades/{ACCOUNT}/upgrade/{uuid}")
    if answer is None:
        return None, {}
    return answer["status"], {item["deviceId"]: item["status"] for item in answer["deviceList"]}


async def _campaign(get: Any, version: int, uuid: str) -> tuple[str | None, dict[str, str]]:
    campaign = await get(f"v{version}/campaigns/{ACCOUNT}/{uuid}")
    report = await get(f"v{version}/reports/{ACCOUNT}/campaigns/{uuid}/devices")
    if campaign is None or report is None:
        return None, {}
    shown = {item["deviceId"]: item["status"] for item in report["deviceList"]}
    return campaign["status"], shown if report["totalDevice"] == len(shown) else {}


async def _devices(judge: Bench, get: Any) -> AsyncIterator[str]:
    versions, licensed = witness.versions(judge.tx), witness.licensed(judge.tx)
    subscription = await get(f"v2/subscriptions/{ACCOUNT}")
    if subscription is None or subscription["licenseUsedCount"] != len(licensed):
        yield f"{len(licensed)} licences are in use, and shown is {subscription}"
    answer = await get(f"v2/devices/{ACCOUNT}")
    shown = {item["deviceId"]: item for item in answer["deviceList"]} if answer else {}
    if shown.keys() != versions.keys():
        yield f"{len(shown)} of {len(versions)} devices are shown"
    for imei, item in shown.items():
        if item["licenseAssigned"] != (imei in licensed):
            yield f"{imei} is shown with licenseAssigned {item['licenseAssigned']}"
        runs = {software["version"] for software in item["softwareList"]}
        if versions[imei] and versions[imei] not in runs:
            yield f"{imei} is shown to run {sorted(runs)}, and runs {versions[imei]}"


async def _histories(judge: Bench, get: Any) -> AsyncIterator[str]:
    """Each upgrade that succeeded or failed is in its device's history, once.

    Over v1 others may be, of which an attempt failed (``api.md`` 6); they are not called what they are not.
    """
    held: dict[tuple[int, str], dict[str, str]] = {}
    for member in witness.members(judge.tx):
        held.setdefault((member.version, member.imei), {})[member.uuid] = member.state
    for (version, imei), states in held.items():
        if not set(states.values()) - {"rejected"}:
            continue  # it may be no device at all
        shown = await get(f"v{version}/reports/{ACCOUNT}/devices/{imei}") or ()
        words = {item["id"]: item["status"] for item in shown}
        due = {uuid for uuid, state in states.items() if state in ("succeeded", "failed")}
        more = words.keys() - due
        if len(words) != len(shown) or due - words.keys() or (more and version != 1):
            yield f"the history of {imei} has {sorted(words)}, and due are {sorted(due)}"
        for uuid in words.keys() & states.keys():
            if words[uuid] not in DEVICES[version].get(states[uuid], ()):
                yield f"the history of {imei} says {words[uuid]} of {uuid}: it is {states[uuid]}"
