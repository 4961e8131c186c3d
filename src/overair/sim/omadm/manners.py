"""How a device speaks: the form of its messages, and what real clients do that nobody wrote down.

Each oddity was seen in the field (oma-dm 19), and a server has to live with all of them. ``COMMON`` are
those that a fleet draws from: with any of them an update still works. The others are for tests that want
them by name.
"""

from dataclasses import dataclass
from enum import Enum
from random import Random

from overair.protocols.syncml.codec import Form, MediaType


class Oddity(Enum):
    """Something that a client does its own way."""

    SESSION_ID_ONE = "its SessionID is always 1"
    RESTARTS_MSG_ID = "after a 401 it begins at MsgID 1 again"
    NO_CRED_FIRST = "it shows credentials only when asked"
    NO_LOC_NAME = "it does not say its user name"
    CHALLENGES_ALWAYS = "it wants credentials in every message"
    EMPTY_NONCE = "the nonces that it gives are empty"
    NEVER_CHALLENGES = "without credentials it refuses with status 0, and does not ask for them"
    STRICT = "it refuses credentials that come again although it has accepted them"
    SAYS_407 = "it says 407 where 401 is meant"
    ALERTS_FIRST = "its reports stand before everything else in package 1"
    DEVINFO_FIRST = "its DevInfo stands before its Alert"
    DEVINFO_EXTRAS = "its DevInfo has interior nodes, metadata and empty values"
    RESULTS_FIRST = "its Results stand before its Statuses"
    RESULTS_IN_ONE = "all its values stand in one Results"
    ONE_BY_ONE = "its packages have a message for each value"
    NO_TARGET_REF = "its Status for an Exec does not name the node"
    SAME_CMD_IDS = "its Statuses all have the same CmdID"
    SILENT_AFTER_ABORT = "it does not answer Alert 1223"
    BARE_TYPE = "its alert types have no prefix"
    RESULT_AS_TEXT = "its results are called text"
    NAMES_EXEC_NODE = "its reports name the node that was executed"
    NO_CORRELATOR = "its reports have no correlator"
    OLD_MEDIA_TYPE = "it uses the media types of data synchronisation"
    NO_DOWNLOAD_AND_UPDATE = "it can only download and update in two steps"
    FUMO_ONLY = "it shows nothing outside of its update object"


COMMON = tuple(
    oddity
    for oddity in Oddity
    # These two are settings of a model at the server; a device without its FwV cannot be verified.
    if oddity not in (Oddity.NO_DOWNLOAD_AND_UPDATE, Oddity.FUMO_ONLY)
)

# Pairs that make no sense together.
_EXCLUDED = (
    {Oddity.CHALLENGES_ALWAYS, Oddity.NEVER_CHALLENGES},
    {Oddity.CHALLENGES_ALWAYS, Oddity.STRICT},
    {Oddity.NEVER_CHALLENGES, Oddity.EMPTY_NONCE},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How one device speaks. Without ``max_msg_size`` it does not say what it can take."""

    form: Form = Form()  # noqa: RUF009 - a frozen value
    oddities: frozenset[Oddity] = frozenset()
    max_msg_size: int | None = 16384
    max_obj_size: int | None = None
    root: str = "./FwUpdate/pkg"

    def has(self, oddity: Oddity) -> bool:
        """Tell whether the device does that."""
        return oddity in self.oddities


def draw_oddities(dice: Random) -> frozenset[Oddity]:
    """Draw one to three oddities that go together."""
    drawn = frozenset(dice.sample(COMMON, dice.randint(1, 3)))
    return drawn if not any(pair <= drawn for pair in _EXCLUDED) else frozenset(list(drawn)[:1])


def xml_form(*, old: bool = False) -> Form:
    """Return the form of XML messages."""
    return Form(media_type=MediaType.OLD_XML if old else MediaType.XML)


def wbxml_form(version: int = 2, *, old: bool = False) -> Form:
    """Return the form of WBXML messages."""
    kind = MediaType.OLD_WBXML if old else MediaType.WBXML
    return Form(media_type=kind, wbxml_version=version)
