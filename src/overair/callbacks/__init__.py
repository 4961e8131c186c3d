"""Sends queued callbacks to their listeners."""

from overair.callbacks.delivery import CallbackDelivery
from overair.callbacks.sender import Courier

__all__ = ["CallbackDelivery", "Courier"]
