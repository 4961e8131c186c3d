"""The error catalogue: complete rows, each once."""

from overair.core.errors import CredentialsError, Refusal, RequestError


def test_catalogue() -> None:
    """Every refusal has a code and a text, and no two are the same."""
    assert len({refusal.value for refusal in Refusal}) == len(list(Refusal))
    for refusal in Refusal:
        error = RequestError(refusal, limit=1, member="m", part="p")
        assert error.code
        assert error.message
        assert "{" not in error.message


def test_wrong_credentials_may_have_to_wait() -> None:
    """A throttled log-in says for how long; a wrong one says nothing of the kind."""
    assert CredentialsError().refusal is Refusal.CREDENTIALS
    assert CredentialsError().retry_after_s == 0
    throttled = CredentialsError(Refusal.LOGIN_THROTTLED, retry_after_s=30)
    assert (throttled.code, throttled.retry_after_s) == (Refusal.LOGIN_THROTTLED.code, 30)
