"""Settings: where they come from, which source wins, and what a wrong one is told."""

from pathlib import Path

import pytest

from overair.config import ConfigError, Settings, load_settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "overair.toml"


def test_defaults_are_a_whole_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any source everything has a value, and the database is in the data directory."""
    monkeypatch.chdir(tmp_path)
    settings = load_settings(file=None, environment={})
    assert settings == Settings()
    assert settings.database_url == "sqlite:///overair-data/overair.db"
    assert settings.listen == ("127.0.0.1", 8080)


def test_later_sources_win(file: Path) -> None:
    """The file is over the defaults, the environment over the file, a flag over all."""
    file.write_text(
        'data = "of-file"\npoll_interval_s = 60\nlog_level = "error"\n[limits]\npage_size = 5\n'
    )
    environment = {
        "OVERAIR_DATA": "of-environment",
        "OVERAIR_POLL_INTERVAL_S": "70",
        "OVERAIR_LIMITS_PILOT_DEVICES": "3",
        "PATH": "not ours",
    }
    flags = {"data": "of-flag", "http": None}
    settings = load_settings(file=file, environment=environment, flags=flags)
    assert (settings.data, settings.poll_interval_s, settings.log_level) == ("of-flag", 70, "error")
    assert (settings.limits.page_size, settings.limits.pilot_devices) == (5, 3)
    assert settings.http == Settings().http


def test_the_working_directory_has_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``overair.toml`` here is read without being named."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "overair.toml").write_text("poll_interval_s = 61\n")
    assert load_settings(environment={}).poll_interval_s == 61


def test_the_environment_has_lists_tables_and_truth(file: Path) -> None:
    """Lists are separated by commas, tables are TOML, and booleans are words."""
    file.touch()
    settings = load_settings(
        file=file,
        environment={
            "OVERAIR_TRUSTED_PROXIES": "10.0.0.1, 192.168.0.0/16",
            "OVERAIR_CALLBACK_RETRY_S": "1,2",
            "OVERAIR_ATTRIBUTE_NAMES": 'fw = "version"',
            "OVERAIR_METRICS": "false",
        },
    )
    assert settings.trusted_proxies == ("10.0.0.1", "192.168.0.0/16")
    assert settings.callback_retry_s == (1, 2)
    assert settings.attribute_names == {"fw": "version"}
    assert settings.metrics is False


@pytest.mark.parametrize(
    ("text", "environment", "flags", "said"),
    [
        ("", {"OVERAIR_POLL_INTERVAL_S": "often"}, {}, "OVERAIR_POLL_INTERVAL_S: Expected `int`"),
        (
            "",
            {"OVERAIR_LIMITS_PAGE_SIZE": "0"},
            {},
            "OVERAIR_LIMITS_PAGE_SIZE: Expected `int` >= 1",
        ),
        ("", {"OVERAIR_POLL": "1"}, {}, "OVERAIR_POLL: there is no such setting"),
        ("", {"OVERAIR_LIMITS": "1"}, {}, "OVERAIR_LIMITS: there is no such setting"),
        ("", {"OVERAIR_STORAGE_OPTIONS": "a"}, {}, "OVERAIR_STORAGE_OPTIONS: not TOML"),
        ("", {"OVERAIR_CALLBACK_RETRY_S": "1,x"}, {}, "OVERAIR_CALLBACK_RETRY_S: Expected `int`"),
        ("", {}, {"log_level": "loud"}, "--log-level: Expected `str` matching"),
        ('data = ""\npoll = 1\n', {}, {}, "overair.toml: poll: there is no such setting"),
        ("[limits]\npage = 1\n", {}, {}, "overair.toml: limits.page: there is no such setting"),
        ("metrics = 'perhaps'\n", {}, {}, "overair.toml: metrics: Expected `bool`"),
        ("metrics = \n", {}, {}, "overair.toml: not TOML"),
        ("limits = 1\n", {"OVERAIR_LIMITS_PAGE_SIZE": "1"}, {}, "`limits` is a table"),
        ("", {}, {"http": "8080"}, "is not address:port"),
        ("", {}, {"http": "[::1]:70000"}, "is not address:port"),
        ('tls_key = "k.pem"', {}, {}, "tls_certificate and tls_key go together"),
        ('secret_key = "short"', {}, {}, "at least 32 characters"),
        ("workers = 2", {}, {}, "need PostgreSQL"),
        ("time_rate = inf", {}, {}, "time_rate: has to be from 0 to 1000000"),
        ("callback_timeout_s = inf", {}, {}, "callback_timeout_s: has to be"),
        ("session_idle_s = 1000000000000", {}, {}, "session_idle_s: has to be"),
        ("log_keep_days = 10000000", {}, {}, "log_keep_days: has to be"),
        ("callback_retry_s = [10, -1]", {}, {}, "callback_retry_s: has to be"),
        (
            'workers = 2\ntime_rate = 2.0\ndatabase = "postgresql://x/y"',
            {},
            {},
            "time_rate needs one process",
        ),
        ('public_url = "fota.example"', {}, {}, "begins with http:// or https://"),
        ('trusted_proxies = ["everybody"]', {}, {}, "trusted_proxies: "),
        ('blocked_addresses = ["10.0.0.0/40"]', {}, {}, "blocked_addresses: "),
        (
            '[lwm2m.models."Acme M1"]\nack_random_factor = 0.5',
            {},
            {},
            "lwm2m.models.Acme M1.ack_random_factor: is 1 or more, or 0",
        ),
        (
            '[lwm2m]\nbootstrap_coaps = "0.0.0.0:5694"',
            {},
            {},
            "lwm2m.bootstrap_coaps: devices have to be told where to register: public_coaps",
        ),
        (
            '[lwm2m]\nbootstrap_coap = "0.0.0.0:5693"\npublic_coap = "fota.example:5683"',
            {},
            {},
            "lwm2m.bootstrap_coap: gives accounts in the clear: needs no_sec and public_coap",
        ),
        ('attribute_names = {fw = "firmware"}', {}, {}, "attribute_names.fw: 'firmware'"),
    ],
)
def test_what_does_not_fit_is_named(
    file: Path, text: str, environment: dict[str, str], flags: dict[str, str], said: str
) -> None:
    """A name that does not exist or a value that does not fit stops the start, and says where."""
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(file=file, environment=environment, flags=flags)
    assert said in str(caught.value)


def test_a_file_that_was_named_has_to_be_there(file: Path) -> None:
    """``--config`` with a wrong name is not taken for no file."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(file=file, environment={})
