"""Secrets as they are kept, and tokens as they are derived."""

import base64
import hashlib
import string

from hypothesis import given
from hypothesis import strategies as st

from overair.core.credentials import (
    SALT_BYTES,
    STORED_SECRET,
    Cost,
    bearer_token,
    device_token,
    dm_key,
    fingerprint,
    hash_secret,
    verify_secret,
)

CHEAP = Cost(log2_n=10, r=1, p=1)
SALT = bytes(range(SALT_BYTES))
KEY = b"k" * 32


def test_a_secret_is_known_again() -> None:
    """What was stored is verified by the secret and by nothing else, whatever its cost was."""
    stored = hash_secret("correct horse", SALT, CHEAP)
    assert stored.startswith("scrypt$10$1$1$")
    assert STORED_SECRET.match(stored)
    assert "horse" not in stored
    assert verify_secret("correct horse", stored)
    assert not verify_secret("correct horse ", stored)
    assert not verify_secret("", stored)
    assert hash_secret("correct horse", SALT[::-1], CHEAP) != stored


def test_the_default_cost_is_what_the_format_takes() -> None:
    """A hash made with the defaults takes 16 MiB, five times over, and an import may bring it along."""
    stored = hash_secret("s", SALT)
    assert stored.startswith("scrypt$14$8$5$")
    assert STORED_SECRET.match(stored)


def test_a_dearer_hash_is_verified_too() -> None:
    """A secret that somebody stored at a higher cost, past OpenSSL's own bound, is known again."""
    assert verify_secret("s", hash_secret("s", SALT, Cost(log2_n=16, r=8, p=1)))


def test_bearer_tokens_are_hmacs() -> None:
    """RFC 4231 4.3: a token is the HMAC-SHA-256 of the nonce under the secret."""
    token = bearer_token("Jefe", "what do ya want for nothing?")
    assert base64.urlsafe_b64decode(token + "=").hex() == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    )


def test_device_tokens_stay() -> None:
    """A token that a device was given once is the same in every version of the server."""
    token = device_token(KEY, "490154203237518", "salt")
    assert token == "AX504AFFq9Be0ZlCCdCl5KFcs37PfZ4o"


def test_dm_keys_are_the_specifications() -> None:
    """The known answer of OMA-DM: Bruce2, OhBehave and the nonce ``Nonce`` (``oma-dm.md`` 11.1)."""
    answer = hashlib.md5(f"{dm_key('Bruce2', 'OhBehave')}:Nonce".encode()).digest()
    assert base64.b64encode(answer) == b"Zz6EivR3yeaaENcRN6lpAQ=="


def test_bearer_tokens_are_repeatable() -> None:
    """The same secret and nonce give the same token; another of either gives another."""
    token = bearer_token("secret", "nonce")
    assert bearer_token("secret", "nonce") == token
    assert len({token, bearer_token("secreT", "nonce"), bearer_token("secret", "noncE")}) == 3
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")


@given(st.text(max_size=20), st.text(max_size=20))
def test_device_tokens_are_letters_and_digits(imei: str, salt: str) -> None:
    """A derived token can be typed: 32 letters and digits, the same each time."""
    token = device_token(KEY, imei, salt)
    assert len(token) == 32
    assert set(token) <= set(string.ascii_letters + string.digits)
    assert device_token(KEY, imei, salt) == token


def test_device_tokens_differ() -> None:
    """Another key, device or salt gives another token."""
    assert (
        len(
            {
                device_token(KEY, "1", "s"),
                device_token(b"l" * 32, "1", "s"),
                device_token(KEY, "2", "s"),
                device_token(KEY, "1", "t"),
            }
        )
        == 4
    )


def test_a_fingerprint_is_sha256() -> None:
    """What is stored of a token is its SHA-256 in hexadecimal."""
    assert fingerprint("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
