"""Sends queued callbacks to their listeners."""

from overair.callbacks.delivery import CallbackDelivery

__all__ = ["CallbackDelivery"]
