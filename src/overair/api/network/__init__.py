"""The network's side of the API: what an operator's network tells of devices."""

from overair.api.network.events import network_routes

__all__ = ["network_routes"]
