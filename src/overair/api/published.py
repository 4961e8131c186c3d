"""Every operation of the management API, in the order of its document."""

from overair.api.auth import oauth_routes, session_routes
from overair.api.network import network_routes
from overair.api.routing import Route
from overair.api.v1 import v1_routes
from overair.api.v2 import v2_routes
from overair.api.v3 import v3_routes


def published_routes() -> list[Route]:
    """The operations of all versions."""
    return [*oauth_routes, *session_routes, *v1_routes, *v2_routes, *v3_routes, *network_routes]
