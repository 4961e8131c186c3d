"""Lives of tokens and sessions, the throttle, and stored secrets."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overair.core import credentials
from overair.core.credentials import Cost
from overair.core.identity import (
    BearerToken,
    Lifetimes,
    Session,
    SessionState,
    Throttle,
    ThrottleLimits,
)
from overair.core.ids import ApplicationId, UserId

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
IDLE = timedelta(minutes=20)
FAST = Cost(log2_n=2, r=1, p=1)


def bearer(left: timedelta, revoked_at: datetime | None = None) -> BearerToken:
    return BearerToken(
        application_id=ApplicationId(1),
        token_hash="",
        nonce="",
        expires_at=NOW + left,
        revoked_at=revoked_at,
    )


@pytest.mark.parametrize(
    ("token", "valid", "remaining_s"),
    [
        (bearer(timedelta(hours=1)), True, 3600),
        (bearer(timedelta(milliseconds=1999)), True, 1),
        (bearer(timedelta(0)), False, 0),
        (bearer(timedelta(hours=-1)), False, 0),
        (bearer(timedelta(hours=1), NOW), False, 3600),
    ],
)
def test_bearer_token(token: BearerToken, valid: bool, remaining_s: int) -> None:
    """A token is valid until its end, unless it was revoked."""
    assert (token.is_valid(NOW), token.remaining_s(NOW)) == (valid, remaining_s)


@pytest.mark.parametrize(
    ("idle", "ended", "state"),
    [
        (timedelta(0), False, SessionState.OPEN),
        (IDLE - timedelta(milliseconds=1), False, SessionState.OPEN),
        (IDLE, False, SessionState.EXPIRED),
        (timedelta(0), True, SessionState.ENDED),
        (IDLE, True, SessionState.ENDED),
    ],
)
def test_session(idle: timedelta, ended: bool, state: SessionState) -> None:
    """A session is open while it is used, and ended for good."""
    session = Session(
        user_id=UserId(1), token_hash="", used_at=NOW - idle, ended_at=NOW if ended else None
    )
    assert session.state(NOW, IDLE) is state


def test_uses_are_written_once_a_second() -> None:
    """Within a second of the last one a use is not worth writing down."""
    session = Session(user_id=UserId(1), token_hash="", used_at=NOW, ended_at=None)
    assert not session.should_touch(NOW + timedelta(milliseconds=999))
    assert session.should_touch(NOW + timedelta(seconds=1))


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.booleans()), max_size=60)
)
def test_throttle_counts_failures(attempts: list[tuple[str, str, bool]]) -> None:
    """Exactly the failures count: by pair since its last success, by name and address in all."""
    limits = ThrottleLimits(per_pair=3, per_name=8, per_address=10)
    throttle = Throttle(limits)
    pairs: dict[tuple[str, str], int] = {}
    names: dict[str, int] = {}
    addresses: dict[str, int] = {}
    for address, name, right in attempts:
        pair = (address, name)
        blocked = (
            pairs.get(pair, 0) >= 3 or names.get(name, 0) >= 8 or addresses.get(address, 0) >= 10
        )
        assert (throttle.wait_s(address, name, NOW) > 0) == blocked
        if blocked:
            continue
        throttle.attempt(address, name, NOW)
        if right:
            throttle.succeed(address, name)
            pairs.pop(pair, None)
        else:
            pairs[pair] = pairs.get(pair, 0) + 1
            names[name] = names.get(name, 0) + 1
            addresses[address] = addresses.get(address, 0) + 1


def test_throttle_forgets() -> None:
    """After its window a count is over, and there is never more than a bounded number of counts."""
    throttle = Throttle(ThrottleLimits(per_pair=1, remembered=6))
    throttle.attempt("a", "x", NOW)
    assert throttle.wait_s("a", "x", NOW) == 60
    assert throttle.wait_s("a", "x", NOW + timedelta(seconds=59, milliseconds=1)) == 1
    assert throttle.wait_s("a", "x", NOW + timedelta(seconds=60)) == 0
    throttle.attempt("a", "x", NOW + timedelta(seconds=60))
    assert throttle.wait_s("a", "x", NOW + timedelta(seconds=60)) == 60
    for number in range(10):
        throttle.attempt(f"a{number}", f"x{number}", NOW)
    assert throttle.wait_s("a", "x", NOW) == 0


@given(st.text(), st.text(), st.binary(min_size=16, max_size=16))
def test_stored_secrets(secret: str, other: str, salt: bytes) -> None:
    """A stored secret is recognised, another one is not, and neither shows in what is stored."""
    stored = credentials.hash_secret(secret, salt, FAST)
    assert credentials.verify_secret(secret, stored)
    assert credentials.verify_secret(other, stored) == (other == secret)
    assert len(stored) < 100


def test_stored_secrets_by_the_standard() -> None:
    """RFC 7914 12, third test vector: what we store is scrypt."""
    cost = Cost(log2_n=14, r=8, p=1)
    stored = credentials.hash_secret("pleaseletmein", b"SodiumChloride", cost)
    digest = base64.urlsafe_b64decode(stored.rpartition("$")[2] + "=")
    assert digest.hex() == "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"


def test_bearer_tokens_are_derived() -> None:
    """The same secret and nonce make the same token, and either changes it."""
    token = credentials.bearer_token("secret", "nonce")
    assert token == credentials.bearer_token("secret", "nonce")
    assert (
        len(
            {token, credentials.bearer_token("secret", "n"), credentials.bearer_token("s", "nonce")}
        )
        == 3
    )
    assert len(credentials.fingerprint(token)) == 64


def test_how_long_tokens_and_sessions_last() -> None:
    """A bearer token lasts an hour (API 2.1), a session twenty minutes without use (API 2.2)."""
    lifetimes = Lifetimes()
    assert lifetimes.bearer == timedelta(hours=1)
    assert lifetimes.session_idle == timedelta(minutes=20)
    assert lifetimes.kept == timedelta(days=1)


@pytest.mark.parametrize(
    ("addresses", "names", "most"), [(1, 1, 10), (1000, 1, 60), (1, 1000, 300)]
)
def test_how_many_guesses_are_looked_at(addresses: int, names: int, most: int) -> None:
    """In a minute ten of one client on one name, sixty on a name, three hundred of an address."""
    throttle = Throttle()
    looked_at = 0
    for number in range(400):
        address, name = f"a{number % addresses}", f"x{number % names}"
        if throttle.wait_s(address, name, NOW) == 0:
            throttle.attempt(address, name, NOW)
            looked_at += 1
    assert looked_at == most


def test_a_success_takes_back_its_own_attempt() -> None:
    """Failures of others with the same name, or from the same address, still count."""
    for attempts in ([("a", "x"), ("b", "x"), ("c", "x")], [("a", "x"), ("a", "y"), ("a", "z")]):
        for failures in (1, 2):
            limits = ThrottleLimits(per_name=failures + 1, per_address=failures + 1)
            throttle = Throttle(limits)
            for address, name in attempts[:failures]:
                throttle.attempt(address, name, NOW)
            last = attempts[-1]
            throttle.attempt(*last, NOW)
            throttle.succeed(*last)
            assert throttle.wait_s(*last, NOW) == 0
            throttle.attempt(*last, NOW)
            assert throttle.wait_s(*last, NOW) == 60


def test_a_success_leaves_no_trace() -> None:
    """After it a failure's minute begins with that failure; and there need be nothing to take back."""
    throttle = Throttle(ThrottleLimits(per_name=1))
    throttle.succeed("a", "x")
    throttle.attempt("a", "x", NOW)
    throttle.succeed("a", "x")
    later = NOW + timedelta(seconds=59)
    throttle.attempt("b", "x", later)
    assert throttle.wait_s("c", "x", later) == 60


def test_after_its_window_a_count_begins_anew() -> None:
    """A failure of a minute ago is not counted again with the next one."""
    throttle = Throttle(ThrottleLimits(per_pair=2))
    throttle.attempt("a", "x", NOW)
    later = NOW + timedelta(minutes=1)
    throttle.attempt("a", "x", later)
    assert throttle.wait_s("a", "x", later) == 0


def test_as_many_counts_are_kept_as_are_said() -> None:
    """With room for six counts the three of each of two clients are kept."""
    throttle = Throttle(ThrottleLimits(per_pair=1, remembered=6))
    throttle.attempt("a", "x", NOW)
    throttle.attempt("b", "y", NOW)
    assert throttle.wait_s("a", "x", NOW) == 60
    throttle.attempt("c", "z", NOW)
    assert throttle.wait_s("a", "x", NOW) == 0
    assert throttle.wait_s("b", "y", NOW) == 60
