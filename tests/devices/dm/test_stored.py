"""What is kept between two messages survives as JSON."""

import json
from datetime import UTC, datetime

from overair.devices.dm.stored import decode_knowledge, decode_nonces, decode_session, encode
from overair.protocols.omadm.account import Nonces, Pending, Refusals
from overair.protocols.omadm.events import Meaning, Step
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.session import (
    Ask,
    Done,
    Incoming,
    Outgoing,
    Owed,
    Proof,
    Report,
    Sent,
    Session,
    Verb,
)
from overair.protocols.syncml import auth
from overair.protocols.syncml.fumo import AlertType

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ASK = Ask(verb=Verb.EXEC, uri="./x", correlator="c", step=Step.UPDATE)
FULL = Session(
    id="B7",
    kind=auth.MAC,
    seen_at=NOW,
    messages=3,
    client_msg=4,
    body="ab",
    reply=bytes(range(256)),
    reply_type="x",
    reply_mac="y",
    server_msg=3,
    ended=True,
    proof=Proof.EACH,
    nonce=b"",
    tries=1,
    max_msg_size=17,
    max_obj_size=0,
    sent=(Sent(msg=1, cmd="2", ask=ASK, code=0, value=""),),
    refused=True,
    more=True,
    done=(Done(verb=Verb.GET, uri="é", code=200, value="\n", correlator="c"),),
    owed=(Owed(msg="1", cmd="2", name="Alert", code=200, asked=True),),
    reports=(Report(correlator="", kind=AlertType.UPDATE, meaning=Meaning.FAILED, root="./x"),),
    outgoing=Outgoing(ask=ASK, size=9, begin=1, end=2, restarted=True),
    incoming=Incoming(command="Alert", uri="./x", size=None, data=b"\xff"),
)


def test_a_session() -> None:
    """A session with everything in it is read as it was written."""
    assert decode_session(encode(FULL)) == FULL


def test_a_short_session() -> None:
    """What is not there has its default: an earlier version left such members out."""
    short = Session(id="1", kind=auth.MD5, seen_at=NOW)
    members = {"id": "1", "kind": auth.MD5, "seen_at": NOW.isoformat()}
    assert decode_session(json.dumps(members)) == short
    assert decode_session(encode(short)) == short


def test_nonces_and_knowledge() -> None:
    """So are an account's nonces, and what is known of a device."""
    nonces = Nonces(
        client=b"\x00",
        pending=(Pending(nonce=b"\xff", until=NOW),),
        refusals=(Refusals(session_id="1", until=NOW, wrong=2),),
    )
    assert decode_nonces(encode(nonces)) == nonces
    knowledge = Knowledge(version="1", large_objects=False, inventory_at=NOW)
    assert decode_knowledge(encode(knowledge)) == knowledge


def test_members_of_another_version() -> None:
    """A member that this version does not know is passed over."""
    assert decode_knowledge('{"version": "1", "later": [1]}') == Knowledge(version="1")
