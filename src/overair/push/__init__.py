"""Sends notifications: package 0, by whatever carrier reaches the device."""

from overair.config import Omadm
from overair.push.delivery import PushDelivery
from overair.push.logged import LogTransport
from overair.push.smpp import SmppTransport
from overair.push.transport import Transport
from overair.push.udp import UdpTransport

__all__ = ["PushDelivery", "Transport", "chosen_transport"]


def chosen_transport(settings: Omadm) -> Transport:
    """The carrier that the settings name. Raises ConfigError."""
    if settings.notify == "smpp":
        return SmppTransport(settings.smpp)
    if settings.notify == "udp":
        return UdpTransport(bare=settings.udp_bare)
    return LogTransport()
