"""The operator's pages: whether the server lives and can work, its figures, the document of its API."""

from typing import Final

from overair.api.openapi import openapi_json
from overair.clock import Clock
from overair.config import Settings
from overair.devices.asgi import Answer
from overair.metrics import Metrics, StoreFigures
from overair.store import figures
from overair.store.database import Database, StoreError, Tx

_TEXT: Final = b"text/plain; charset=utf-8"
_JSON: Final = b"application/json"


class Pages:
    """``/healthz``, ``/readyz``, ``/metrics`` and ``/openapi.json``; whatever else is asked for is not there."""

    def __init__(self, db: Database, clock: Clock, metrics: Metrics, settings: Settings) -> None:
        self._db = db
        self._clock = clock
        self._metrics = metrics
        self._settings = settings
        self._openapi = openapi_json()

    async def answer(self, method: str, path: str) -> Answer:
        """What stands at a path."""
        known = path in ("/healthz", "/readyz", "/openapi.json") or (
            path == "/metrics" and self._settings.metrics
        )
        if not known:
            return Answer(404, b'{"errorCode":"NOT_FOUND","errorMessage":"Not found"}', _JSON)
        if method not in ("GET", "HEAD"):
            return Answer(405, headers=((b"allow", b"GET, HEAD"),))
        match path:
            case "/healthz":
                return Answer(200, b"ok\n", _TEXT)
            case "/readyz":
                return await self._readiness()
            case "/openapi.json":
                return Answer(200, self._openapi, _JSON)
            case _:
                figured = await self._db.report(self._figures)
                return Answer(200, self._metrics.render(figured), _TEXT)

    async def _readiness(self) -> Answer:
        try:
            ready = await self._db.report(figures.is_reachable)
        except StoreError as error:
            return Answer(503, f"the database: {error}\n".encode(), _TEXT)
        return Answer(200, b"ready\n", _TEXT) if ready else Answer(503, b"no schema\n", _TEXT)

    def _figures(self, tx: Tx) -> StoreFigures:
        return StoreFigures(
            devices=figures.devices_by_state(tx),
            attempts=figures.attempts_by_state(tx),
            engine_lag_s=figures.engine_lag_ms(tx, self._clock.now()) / 1000,
            callbacks_queued=figures.callbacks_queued(tx),
            push_lag_s=figures.push_lag_ms(tx, self._clock.now()) / 1000,
            attaches_waiting=figures.attaches_waiting(tx),
        )
