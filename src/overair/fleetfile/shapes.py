"""The members of a fleet file, as structs; what people read instead of a pattern stands beside it."""

from datetime import date
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from overair.core.credentials import STORED_SECRET

_TEXT: Final = r"^[^\x00-\x1f\x7f\ud800-\udfff]*\Z"
_ANY_TEXT: Final = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]*\Z"
_TOLD: Final = r"^[^\x00\ud800-\udfff]*\Z"
_IMEI: Final = r"^[0-9]{15}\Z"
_PRINTABLE: Final = r"^[!-~]{1,128}\Z"
_SHA256: Final = r"^[0-9a-f]{64}\Z"
_SHA1: Final = r"^[0-9a-f]{40}\Z"
_MD5: Final = r"^[0-9a-f]{32}\Z"
# A tenant's name is the first part of its devices' addresses, and /api/ is the management API's.
_ALIAS: Final = r"^(?![Aa][Pp][Ii]\Z)[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"
_CONTROLLER: Final = r"^[^/\x00-\x1f\x7f\ud800-\udfff]{1,256}\Z"
_KEY: Final = r"^([0-9A-Fa-f]{2}){16,64}\Z"
_GRAIN: Final = r"^[A-Za-z0-9_-]{8,64}\Z"
_FILE_NAME: Final = r"^[^/\\\x00-\x1f\x7f\ud800-\udfff]{1,100}\Z"

# What a person reads instead of a pattern.
MEANINGS: Final = {
    _TEXT: "has a control character in it",
    _ANY_TEXT: "has a control character in it",
    _TOLD: "has a NUL character in it",
    _IMEI: "an IMEI has 15 digits",
    _PRINTABLE: "a token has 1 to 128 printable ASCII characters and no spaces",
    _SHA256: "a SHA-256 has 64 lower-case hexadecimal digits",
    _SHA1: "a SHA-1 has 40 lower-case hexadecimal digits",
    _MD5: "an MD5 has 32 lower-case hexadecimal digits",
    _ALIAS: "an alias has 1 to 64 letters, digits, dots, underscores and dashes, and is not `api`",
    _CONTROLLER: "a controller id has 1 to 256 characters, none of them a slash",
    _KEY: "a key has 16 to 64 bytes, written as hexadecimal digits",
    _GRAIN: "is no salt that an export wrote",
    _FILE_NAME: "a file name has 1 to 100 characters and no slash",
    STORED_SECRET.pattern: "is no hash that an export wrote",
}

Text = Annotated[str, Meta(pattern=_TEXT, max_length=255)]
# What a device may say of itself, so that every export can be imported (``http-ddi.md`` 5.2).
Told = Annotated[str, Meta(pattern=_TOLD, max_length=1024)]
Name = Annotated[str, Meta(pattern=_TEXT, min_length=1, max_length=255)]
Secret = Annotated[str, Meta(pattern=_TEXT, min_length=1, max_length=1024)]
StoredSecret = Annotated[str, Meta(pattern=STORED_SECRET.pattern)]
Token = Annotated[str, Meta(pattern=_PRINTABLE)]
TokenHash = Annotated[str, Meta(pattern=_SHA256)]
PollInterval = Annotated[int, Meta(ge=1, le=86399)]
Protocol = Literal["OMADM", "LWM2M", "HTTP"]
Auth = Literal["basic", "md5", "hmac"]
WORDS: Final = {"protocol": get_args(Protocol), "auth": get_args(Auth)}


class _Shape(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    pass


class Subscription(_Shape):
    """What an account has bought."""

    purchase_type: Text
    license_count: Annotated[int, Meta(ge=0, le=10**9)] = 0


class Account(_Shape):
    name: Name
    alias: Annotated[str, Meta(pattern=_ALIAS)] | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET
    subscription: Subscription | UnsetType | None = UNSET
    gateway_token: Token | UnsetType | None = UNSET
    gateway_token_hash: TokenHash | UnsetType | None = UNSET
    auto_register: bool | UnsetType = UNSET
    poll_interval: PollInterval | UnsetType | None = UNSET


class Application(_Shape):
    """An OAuth2 client."""

    key: Name
    secret: Secret | UnsetType = UNSET
    secret_hash: StoredSecret | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class User(_Shape):
    """Somebody who opens M2M sessions."""

    username: Name
    password: Secret | UnsetType = UNSET
    password_hash: StoredSecret | UnsetType = UNSET
    accounts: list[Name] | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class Stored(_Shape):
    """Bytes that are in the artifact storage already."""

    sha256: TokenHash
    sha1: Annotated[str, Meta(pattern=_SHA1)]
    md5: Annotated[str, Meta(pattern=_MD5)]
    size_bytes: Annotated[int, Meta(ge=0)]
    file_name: Annotated[str, Meta(pattern=_FILE_NAME)]


class Package(_Shape):
    """Software or firmware of the catalogue."""

    name: Name
    protocol: Protocol | UnsetType = UNSET
    make: Name | UnsetType = UNSET
    model: Name | UnsetType = UNSET
    from_: Text | UnsetType = msgspec.field(default=UNSET, name="from")
    to: Name | UnsetType = UNSET
    launch_date: date | UnsetType = UNSET
    release_note: Annotated[str, Meta(pattern=_ANY_TEXT, max_length=65_536)] | UnsetType = UNSET
    part: Name | UnsetType = UNSET
    file: Name | UnsetType | None = UNSET
    artifact: Stored | UnsetType | None = UNSET
    accounts: list[Name] | UnsetType | None = UNSET


class Ddi(_Shape):
    token: Token | UnsetType | None = UNSET
    token_hash: TokenHash | UnsetType | None = UNSET
    token_salt: Annotated[str, Meta(pattern=_GRAIN)] | UnsetType | None = UNSET
    controller_id: Annotated[str, Meta(pattern=_CONTROLLER)] | UnsetType | None = UNSET
    two_phase: bool | UnsetType | None = UNSET
    poll_interval: PollInterval | UnsetType | None = UNSET


class Lwm2m(_Shape):
    endpoint: Name | UnsetType | None = UNSET
    psk_identity: (
        Annotated[str, Meta(pattern=_TEXT, min_length=1, max_length=128)] | UnsetType | None
    ) = UNSET
    psk_key_hex: Annotated[str, Meta(pattern=_KEY)] | UnsetType | None = UNSET
    bootstrap_identity: (
        Annotated[str, Meta(pattern=_TEXT, min_length=1, max_length=128)] | UnsetType | None
    ) = UNSET
    bootstrap_key_hex: Annotated[str, Meta(pattern=_KEY)] | UnsetType | None = UNSET


class Notify(_Shape):
    host: Name
    port: Annotated[int, Meta(ge=1, le=65535)] = 2948


class Omadm(_Shape):
    client_name: Name | UnsetType | None = UNSET
    client_secret: Secret | UnsetType | None = UNSET
    server_secret: Secret | UnsetType | None = UNSET
    auth: Auth | UnsetType | None = UNSET
    notify: Notify | UnsetType | None = UNSET


class Device(_Shape):
    account: Name
    device_id: Annotated[str, Meta(pattern=_IMEI)]
    mdn: Told | UnsetType = UNSET
    make: Told | UnsetType = UNSET
    model: Told | UnsetType = UNSET
    protocol: Protocol | UnsetType = UNSET
    version: Told | UnsetType = UNSET
    fota_eligible: bool | UnsetType = UNSET
    status: Name | UnsetType = UNSET
    licensed: bool | UnsetType = UNSET
    time_zone: Name | UnsetType | None = UNSET
    ddi: Ddi | UnsetType | None = UNSET
    lwm2m: Lwm2m | UnsetType | None = UNSET
    omadm: Omadm | UnsetType | None = UNSET


class Fleet(_Shape):
    """The whole document."""

    accounts: list[Account] = []
    applications: list[Application] = []
    users: list[User] = []
    packages: list[Package] = []
    devices: list[Device] = []
    devices_file: Name | None = None


_STRUCTS = (
    Fleet, Account, Subscription, Application, User, Package, Stored, Device, Ddi, Lwm2m, Omadm, Notify,
)  # fmt: skip
MEMBERS: Final = frozenset(name for struct in _STRUCTS for name in struct.__struct_encode_fields__)

# The columns of a devices file in CSV.
COLUMNS: Final = tuple(
    column
    for name, block in zip(
        Device.__struct_encode_fields__,
        (None,) * 11 + (Ddi, Lwm2m, Omadm),
        strict=True,
    )
    for column in (
        [name]
        if block is None
        else [
            f"{name}.{member}{sub}"
            for member in block.__struct_encode_fields__
            for sub in ((".host", ".port") if member == "notify" else ("",))
        ]
    )
)
