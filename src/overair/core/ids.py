"""Ids that cannot be taken for one another."""

from typing import NewType

AccountId = NewType("AccountId", int)
DeviceId = NewType("DeviceId", int)
PackageId = NewType("PackageId", int)
CampaignId = NewType("CampaignId", int)
UpgradeId = NewType("UpgradeId", int)
AttemptId = NewType("AttemptId", int)
UserId = NewType("UserId", int)
ApplicationId = NewType("ApplicationId", int)
