"""OpenSSL with pre-shared keys, as pyOpenSSL does not offer it: the one place that reaches below it.

pyOpenSSL has DTLS, cookies and memory BIOs, but no callback for pre-shared keys; the binding beneath
it (part of ``cryptography``) has. A version of either that no longer has it must not be found out by
devices that cannot connect, so ``check`` shakes hands with itself at the start (``lwm2m.md`` 12, 18).

Why these options:

- CCM_8 has a tag of 64 bits, which OpenSSL's security levels above 0 refuse; devices have nothing else
  (RFC 7925 4.2). The other suites are what a device may offer instead.
- No tickets: they would be good for whoever has them, whatever became of the key. Sessions are resumed
  out of a cache only where the caller says whose each is, for nobody is asked for a key then.
- ``OP_NO_QUERY_MTU``: memory has no MTU that could be asked for.

Not in here: sessions, datagrams, and whose keys they are (``dtls.py``).
"""

from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL
from OpenSSL import _util as binding  # the lower layer, see above

SUITES: Final = b"PSK-AES128-CCM8:PSK-AES128-GCM-SHA256:PSK-AES128-CBC-SHA256:@SECLEVEL=0"
DTLS_1_2: Final = 0xFEFD
MTU: Final = 1252  # an IPv6 packet of 1280 bytes, less its headers
MOST_IDENTITY_BYTES: Final = 128
_SERVER_CALLBACK: Final = "unsigned int(SSL *, const char *, unsigned char *, unsigned int)"
_CLIENT_CALLBACK: Final = (
    "unsigned int(SSL *, const char *, char *, unsigned int, unsigned char *, unsigned int)"
)
_ffi: Any = binding.ffi
_lib: Any = binding.lib

# Gives the key of an identity, whoever asks; the connection is the one that asks.
FindKey = Callable[[SSL.Connection, bytes], bytes]
Cookie = Callable[[], bytes]


class PskUnavailableError(Exception):
    """This build cannot do DTLS with pre-shared keys."""


class PskContext:
    """What all connections of a server have in common."""

    def __init__(
        self,
        find_key: FindKey,
        cookie: Cookie,
        is_cookie: Callable[[bytes], bool],
        *,
        resumed_s: int = 0,
    ) -> None:
        """``resumed_s``: for how long its sessions may be resumed; 0: they are not."""
        try:
            self._context = _new_context(SSL.DTLS_SERVER_METHOD)
            if resumed_s:
                self._context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
                self._context.set_timeout(resumed_s)
                self._context.set_session_id(b"overair")
            assert SSL.OP_COOKIE_EXCHANGE is not None
            self._context.set_options(SSL.OP_COOKIE_EXCHANGE)
            self._context.set_cookie_generate_callback(lambda connection: cookie())
            self._context.set_cookie_verify_callback(lambda connection, given: is_cookie(given))
            # The binding does not keep it alive.
            self._callback = _ffi.callback(_SERVER_CALLBACK, self._asked, error=0)
            _lib.SSL_CTX_set_psk_server_callback(self._context._context, self._callback)
        except (AttributeError, SSL.Error, _ffi.error, TypeError) as error:
            raise PskUnavailableError(
                f"DTLS with pre-shared keys cannot be had from this OpenSSL binding: {error!r}"
            ) from error
        self._find_key = find_key

    def _asked(self, ssl: Any, identity: Any, out: Any, room: int) -> int:
        connection = SSL.Connection._reverse_mapping.get(ssl)
        if connection is None or identity == _ffi.NULL:
            return 0
        key = self._find_key(connection, _ffi.string(identity, MOST_IDENTITY_BYTES + 1))
        if len(key) > room:
            return 0
        _ffi.memmove(out, key, len(key))
        return len(key)

    def connection(self) -> SSL.Connection:
        """A connection that waits for a handshake."""
        made = SSL.Connection(self._context, None)
        made.set_accept_state()
        made.set_ciphertext_mtu(MTU)
        return made


def _new_context(method: int) -> SSL.Context:
    context = SSL.Context(method)
    context.set_min_proto_version(DTLS_1_2)
    context.set_max_proto_version(DTLS_1_2)
    context.set_cipher_list(SUITES)
    context.set_options(
        SSL.OP_NO_TICKET | SSL.OP_NO_QUERY_MTU | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION
    )
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(_lib.SSL_MODE_RELEASE_BUFFERS)
    return context


class PskClient:
    """The other side, for the check at the start and for tests of this side."""

    def __init__(self, identity: bytes, key: bytes, mtu: int = MTU) -> None:
        self._identity = identity
        self._key = key
        self._mtu = mtu
        self._context = _new_context(SSL.DTLS_CLIENT_METHOD)
        self._callback = _ffi.callback(_CLIENT_CALLBACK, self._asked, error=0)
        _lib.SSL_CTX_set_psk_client_callback(self._context._context, self._callback)
        self.connection = self._new_connection()

    def _new_connection(self) -> SSL.Connection:
        made = SSL.Connection(self._context, None)
        made.set_connect_state()
        made.set_ciphertext_mtu(self._mtu)
        return made

    def resuming(self, former: SSL.Connection) -> SSL.Connection:
        """Another connection, which asks to resume the session of a former one."""
        made = self._new_connection()
        session = former.get_session()
        assert session is not None
        made.set_session(session)
        return made

    def _asked(
        self, ssl: Any, hint: Any, identity: Any, identity_room: int, out: Any, room: int
    ) -> int:
        _ffi.memmove(identity, self._identity + b"\0", len(self._identity) + 1)
        _ffi.memmove(out, self._key, len(self._key))
        return len(self._key)


def pending(connection: SSL.Connection) -> bytes:
    """What a connection wants to send."""
    try:
        return connection.bio_read(65536)
    except SSL.WantReadError:
        return b""


def is_resumed(connection: SSL.Connection) -> bool:
    """Whether a handshake that is done resumed a former session, without asking for a key."""
    return bool(_lib.SSL_session_reused(connection._ssl))


def let_go(connection: SSL.Connection) -> None:
    """Free a connection that is over for us alone, and leave its session good to be resumed.

    OpenSSL forgets a session whose connection was freed without a good-bye (RFC 5246 7.2.1 has that of an
    unexpected end); a device that has moved is not one.
    """
    connection.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)


def check() -> None:
    """Shake hands with ourselves. Raises PskUnavailableError."""
    identity, key, cookie = b"check", bytes(range(16)), b"cookie"
    asked: list[bytes] = []

    def find_key(connection: SSL.Connection, wanted: bytes) -> bytes:
        asked.append(wanted)
        return key

    context = PskContext(find_key, lambda: cookie, lambda given: given == cookie)
    try:
        client = PskClient(identity, key)  # kept: OpenSSL calls back into it
        server = context.connection()
        done = _shake(client.connection, server)
        suite = server.get_cipher_name()
    except (AttributeError, SSL.Error, _ffi.error, TypeError) as error:
        raise PskUnavailableError(f"a DTLS handshake with ourselves failed: {error!r}") from error
    if not done or asked != [identity] or suite != "PSK-AES128-CCM8":
        raise PskUnavailableError(
            "a DTLS handshake with ourselves came to nothing: the hook for pre-shared keys of this"
            " OpenSSL binding does not work"
        )


def _shake(client: SSL.Connection, server: SSL.Connection) -> bool:
    listening = True
    for _ in range(4):
        client_done = step(client)
        if flight := pending(client):
            server.bio_write(flight)
        if listening:
            try:
                server.DTLSv1_listen()
                listening = False
            except SSL.WantReadError:
                pass
        server_done = not listening and step(server)
        if flight := pending(server):
            client.bio_write(flight)
        if client_done and server_done:
            return True
    return False


def step(connection: SSL.Connection) -> bool:
    """Carry a handshake on; whether it is done. Raises SSL.Error."""
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return False
    return True
