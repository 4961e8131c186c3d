"""Who is let in, and who not: credentials, nonces, and strangers (oma-dm 11)."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from overair.devices.dm.guesses import Guesses
from overair.fleetfile import shapes
from overair.protocols.syncml import auth
from overair.protocols.syncml.codec import decode, encode
from overair.protocols.syncml.message import Cred, Header, Message, Meta
from overair.store import dm_accounts
from tests.devices.dm.modem import (
    CLIENT_SECRET,
    SERVER_SECRET,
    WBXML,
    Modem,
    codes,
    header_status,
    is_end,
)
from tests.devices.dm.yard import Yard, imei, open_yard

WRONG = Cred(meta=Meta(format="b64", type=auth.MD5), data=auth.digest("wrong", b"nonce"))


async def try_once(modem: Modem, cred: Cred | None, session: str = "9") -> Message:
    """A message 1 that nothing follows."""
    modem.session_id, modem.msg_id = session, 0
    return await modem.send(modem.package_1(), cred=cred)


def nonce_of(reply: Message) -> bytes:
    """The nonce of the challenge, which there has to be."""
    status = header_status(reply)
    assert status.chal is not None
    assert status.chal.meta.next_nonce is not None
    return auth.decode_nonce(status.chal.meta.next_nonce)


async def test_no_credentials_are_asked_for(each_yard: Yard) -> None:
    """Without any the answer is 407 throughout with a challenge, no command, and nothing is kept."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    reply = await try_once(modem, None)
    assert codes(reply) == [407, 407, 407]
    assert is_end(reply)
    assert len(nonce_of(reply)) == 16
    assert await each_yard.attributes(1) == {}
    await modem.begin(without=True)
    assert codes(modem.last or reply) == [212, 200, 200]


async def test_wrong_ones_get_a_challenge_and_in_the_end_nothing(each_yard: Yard) -> None:
    """Three times 401 with a nonce of its own; then HTTP 403, until a new session begins."""
    modem = await each_yard.modem(1)
    modem.session_id = "A"
    nonces = set()
    for _ in range(3):
        reply = await modem.send(modem.package_1(), cred=WRONG)
        assert codes(reply) == [401, 401, 401]
        nonces.add(nonce_of(reply))
    assert len(nonces) == 3
    message = modem.message(modem.package_1(), cred=modem.cred())
    refused = await modem.post(encode(message, modem.form))
    assert (refused.status, refused.body) == (403, b"")
    assert header_status(await modem.begin()).code == 212


async def test_a_replay_is_refused(each_yard: Yard) -> None:
    """Package 1 again, byte for byte, carries a spent nonce: 401 each time, with yet another nonce."""
    modem = await each_yard.modem(1)
    await modem.begin()
    first = nonce_of(await modem.again())
    reply = await modem.again()
    assert codes(reply) == [401, 401, 401]
    assert nonce_of(reply) != first
    # The device itself goes on where it was.
    assert codes(await modem.begin())[0] == 212


async def test_strangers_do_not_spoil_the_nonce(each_yard: Yard) -> None:
    """Whatever others try in its name, the device gets in with the nonce that it was given last."""
    modem = await each_yard.modem(1)
    await modem.session()
    stranger = Modem(home=each_yard.field, imei=modem.imei, user=modem.user)
    for _ in range(10):
        await try_once(stranger, WRONG, "77")
        await try_once(stranger, None, "78")
    assert codes(await try_once(modem, modem.cred(), "8"))[0] == 212


async def test_a_stranger_does_not_end_a_session(each_yard: Yard) -> None:
    """A message 1 with wrong credentials leaves the session alone that the device is in."""
    modem = await each_yard.modem(1)
    reply = await modem.begin()
    stranger = Modem(home=each_yard.field, imei=modem.imei, user=modem.user)
    await try_once(stranger, WRONG, modem.session_id)
    assert codes(await modem.send(modem.answers(reply)))[0] in (200, 212)


async def test_unknown_users_are_answered_like_known_ones(each_yard: Yard) -> None:
    """Nothing in the answers tells who exists, also when they try again."""
    known = await each_yard.modem(1)
    unknown = Modem(home=each_yard.field, imei=imei(9), user="dev9")
    bare = await each_yard.modem(2, block=shapes.Omadm(client_name="dev2"))
    answers = []
    for modem in (known, unknown, bare):
        with capture_logs() as lines:
            said = []
            for cred in (None, WRONG, WRONG):
                reply = await try_once(modem, cred, "B")
                assert modem.reply is not None
                said.append((modem.reply.status, len(modem.reply.body), codes(reply)))
            answers.append(said)
        assert any(line["event"] == "an OMA-DM device is refused" for line in lines)
        assert ("not both secrets" in str(lines)) == (modem is bare)
    assert answers[0] == answers[1] == answers[2]


async def test_users_that_are_not_there_take_no_room(each_yard: Yard) -> None:
    """However many names are tried, the database grows no further."""
    for number in range(40):
        modem = Modem(home=each_yard.field, imei=imei(9), user=f"nobody{number}")
        await try_once(modem, None)
    rows = await each_yard.field.run(
        lambda tx: tx.all("select (select count(*) from dm_account), max(slot) from dm_decoy")
    )
    assert rows[0][0] == 0
    assert rows[0][1] < 4096


async def test_another_device_s_id(each_yard: Yard) -> None:
    """Right credentials with the id of another device: 403 throughout, and no command."""
    modem = await each_yard.modem(1)
    await each_yard.modem(2)
    await each_yard.campaign(1, 2)
    modem.imei = imei(2)
    with capture_logs() as lines:
        reply = await modem.begin()
    assert set(codes(reply)) == {403}
    assert is_end(reply)
    assert "other_device" in str(lines)


async def test_another_device_s_dev_info(each_yard: Yard) -> None:
    """The id inside DevInfo has to be the device's too."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    other = Modem(home=each_yard.field, imei=imei(2), user=modem.user)
    reply = await modem.send(other.package_1(), cred=modem.cred())
    assert 403 in codes(reply)
    assert is_end(reply)


@pytest.mark.parametrize("who", ["device", "account"])
async def test_who_is_blocked(each_yard: Yard, who: str) -> None:
    """A device that is not active, or whose account is not, gets 403 and no command."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    change = {
        "device": "update device set status = 'Suspended'",
        "account": "update account set active = false",
    }[who]
    await each_yard.field.run(lambda tx: tx.execute(change))
    reply = await modem.begin()
    assert set(codes(reply)) == {403}
    assert is_end(reply)
    assert await each_yard.attributes(1) == {}


@pytest.mark.parametrize(
    "block",
    [
        shapes.Omadm(client_name="dev1"),
        shapes.Omadm(client_name="dev1", client_secret=CLIENT_SECRET),
        shapes.Omadm(client_name="dev1", server_secret=SERVER_SECRET),
    ],
    ids=["none", "client's", "server's"],
)
async def test_a_device_without_secrets(each_yard: Yard, block: shapes.Omadm) -> None:
    """It cannot have a session, and the log says why."""
    modem = await each_yard.modem(1, block=block)
    with capture_logs() as lines:
        assert codes(await modem.begin())[0] == 401
    assert "its account has not both secrets" in str(lines)


async def test_a_device_that_does_not_believe_us(each_yard: Yard) -> None:
    """With another server secret it refuses two tries; then the session is over, and nothing was done."""
    modem = await each_yard.modem(1, server_secret="of another server")
    campaign = await each_yard.campaign(1)
    with capture_logs() as lines:
        reply = await modem.session()
    assert is_end(reply)
    assert modem.seen == []
    assert "server_refused" in str(lines)
    assert await each_yard.place(1, campaign) == ("pending", "notified")


async def test_names_that_several_devices_have(each_yard: Yard) -> None:
    """One user name for a whole fleet is no name: the device is found by its id."""
    block = shapes.Omadm(client_name="user", client_secret="secret1", server_secret=SERVER_SECRET)
    other = shapes.Omadm(client_name="user", client_secret="secret2", server_secret=SERVER_SECRET)
    one = await each_yard.modem(1, block=block, client_secret="secret1")
    two = await each_yard.modem(2, block=other, client_secret="secret2")
    for modem in (one, two):
        assert codes(await modem.begin())[0] == 212
    one.client_secret = "secret2"
    assert codes(await one.begin())[0] == 401


@pytest.mark.parametrize(
    "form", ["{}", "IMEI:{}", "imei:{}", "urn:imei:{}", "{}7", "IMEISV:{}"], ids=str
)
async def test_who_gives_no_name_is_known_by_the_id(yard: Yard, form: str) -> None:
    """Without a user name the device's id says whose account it is, in all its forms."""
    modem = await yard.modem(1)
    said = form.format(modem.imei)
    if form == "{}7":
        said = modem.imei[:14] + "77"  # with a software version, and without the check digit
    elif "SV" in form:
        said = f"IMEISV:{modem.imei[:14]}01"

    def unnamed(message: Message) -> Message:
        source = type(message.header.source)(uri=said)
        header = Header(
            session_id=message.header.session_id,
            msg_id=message.header.msg_id,
            target=message.header.target,
            source=source,
            cred=message.header.cred,
        )
        return Message(header=header, commands=message.commands, final=message.final)

    modem.change = unnamed
    assert codes(await modem.begin())[0] == 212


async def test_a_session_that_the_zero_nonce_asked_for(each_yard: Yard) -> None:
    """A device notified with the zero nonce may use it, in that session only, and gets a new one."""
    modem = await each_yard.modem(1)
    await modem.session()
    device_id = await each_yard.device_id(1)
    assert codes(await try_once(modem, modem.cred(auth.ZERO_NONCE), "B7"))[0] == 401
    await each_yard.field.run(lambda tx: dm_accounts.set_zero_nonce_session(tx, device_id, "B7"))
    assert codes(await try_once(modem, modem.cred(auth.ZERO_NONCE), "B8"))[0] == 401
    assert codes(await try_once(modem, modem.cred(auth.ZERO_NONCE), "B7"))[0] == 212
    assert codes(await try_once(modem, modem.cred(auth.ZERO_NONCE), "B7"))[0] == 401


# Other kinds of credentials ----------------------------------------------------------------------

BASIC = shapes.Omadm(
    client_name="dev1", client_secret=CLIENT_SECRET, server_secret=SERVER_SECRET, auth="basic"
)


async def test_passwords_where_nobody_listens(each_yard: Yard) -> None:
    """Basic credentials are taken over loopback, if the account has them."""
    modem = await each_yard.modem(1, block=BASIC)
    await each_yard.campaign(1)
    reply = await modem.begin(cred=auth.basic_cred("dev1", CLIENT_SECRET))
    assert codes(reply)[0] == 212
    other = await each_yard.modem(2)
    reply = await try_once(other, auth.basic_cred("dev2", CLIENT_SECRET))
    assert codes(reply)[0] == 401


@pytest.mark.parametrize(("proto", "code"), [("http", 401), ("https", 212)])
async def test_passwords_only_under_tls(tmp_path: Path, proto: str, code: int) -> None:
    """Over the open network a password is not taken, and not asked for; under TLS it is."""
    async with open_yard(tmp_path, trusted_proxies=("127.0.0.1",)) as yard:
        modem = await yard.modem(1, block=BASIC)
        modem.headers = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": proto}
        modem.session_id = "1"
        cred = auth.basic_cred("dev1", CLIENT_SECRET)
        reply = await modem.send(modem.package_1(), cred=cred)
        assert codes(reply)[0] == code
        if code == 401:
            chal = header_status(reply).chal
            assert chal is not None
            assert chal.meta.type == auth.MD5


async def test_a_mac_on_every_message(each_yard: Yard) -> None:
    """With auth-MAC the header vouches for each body, on both sides, over a new nonce each time."""
    block = shapes.Omadm(
        client_name="dev1", client_secret=CLIENT_SECRET, server_secret=SERVER_SECRET, auth="hmac"
    )
    modem = await each_yard.modem(1, WBXML, block=block)
    modem.session_id = "1"
    reply = await modem.send(modem.package_1())
    assert codes(reply)[0] == 407
    key = auth.key("dev1", CLIENT_SECRET)
    stale = ""
    modem.proven = True  # by the header, and not by what is inside
    for commands in (modem.package_1(), None):
        message = modem.message(modem.answers(reply) if commands is None else commands)
        body = encode(message, WBXML)
        mac = auth.mac(key, nonce_of(reply), body)
        stale = f'algorithm=MD5, username="dev1", mac={mac}'
        answer = await modem.post(body, **{"x-syncml-hmac": stale})
        reply, _ = decode(answer.body, WBXML.media_type)
        assert header_status(reply).code == 200
        told = auth.read_hmac_header(answer.header("x-syncml-hmac") or "")
        # The device has not given us a nonce yet.
        expected = auth.mac(auth.key("fota", SERVER_SECRET), b"", answer.body)
        assert (told.username, told.mac) == ("fota", expected)
    # The same again, without its header or with a stale one, is nobody's.
    for header in ("", stale):
        message = modem.message(modem.answers(reply))
        answer = await modem.post(encode(message, WBXML), **{"x-syncml-hmac": header})
        refused, _ = decode(answer.body, WBXML.media_type)
        assert header_status(refused).code in (401, 407)


# Those who try -----------------------------------------------------------------------------------


async def test_thirty_wrong_tries_a_minute(each_yard: Yard) -> None:
    """The thirty-first from one address gets 429, also with the right ones; after a minute all is well."""
    modem = await each_yard.modem(1)
    other = await each_yard.modem(2)
    for number in range(30):
        assert codes(await try_once(modem, WRONG, str(number)))[0] == 401
    modem.msg_id = 0
    refused = await modem.post(modem.body)
    assert refused.status == 429
    assert 1 <= int(refused.header("retry-after") or "") <= 61
    assert codes(await other.begin())[0] == 212
    await each_yard.field.wait(seconds=61)
    assert codes(await modem.begin())[0] == 212


async def test_a_session_goes_on_while_others_guess(each_yard: Yard) -> None:
    """A device that was let in gives no credentials any more, so nobody's tries keep it out."""
    modem = await each_yard.modem(1)
    await each_yard.campaign(1)
    reply = await modem.begin()
    stranger = Modem(home=each_yard.field, imei=modem.imei, user=modem.user)
    for name in (stranger.user, None):
        statuses = []
        for number in range(31):
            stranger.session_id, stranger.msg_id = f"{number}", 0
            message = stranger.message(stranger.package_1(), cred=WRONG)
            source = replace(message.header.source, name=name)
            message = replace(message, header=replace(message.header, source=source))
            statuses.append((await stranger.post(encode(message, stranger.form))).status)
        assert statuses == [200] * 30 + [429]
    while not is_end(reply):
        reply = await modem.send(modem.answers(reply))
    assert await each_yard.state(1) == "running"


def test_long_names_are_not_kept() -> None:
    """What is remembered of those who try does not grow with what they call themselves."""
    guesses = Guesses()
    key = ("", "")
    tracemalloc.start()
    try:
        for number in range(200):
            key = f"user {number} {chr(0xD800)}" + "A" * 60_000, "198.51.100.7"
            guesses.note(key, 1.0)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000
    assert guesses.wait_s(key, 1.0) == 0
    for _ in range(29):
        guesses.note(key, 1.0)
    assert guesses.wait_s(key, 1.0) > 0


async def test_missing_credentials_do_not_count(yard: Yard) -> None:
    """A device that begins without any is never kept out for it."""
    modem = await yard.modem(1)
    for _ in range(40):
        assert codes(await try_once(modem, None))[0] == 407
    assert codes(await modem.begin())[0] == 212


async def test_nothing_secret_in_the_log(each_yard: Yard) -> None:
    """Lines about those who are refused name who and why, and neither secrets nor digests nor nonces."""
    modem = await each_yard.modem(1)
    with capture_logs() as lines:
        reply = await try_once(modem, WRONG)
        await modem.begin()
        await modem.post(b"<SyncML>" + modem.body)
    secret = [CLIENT_SECRET, SERVER_SECRET, WRONG.data, auth.encode_nonce(nonce_of(reply))]
    secret += [auth.key("dev1", CLIENT_SECRET), modem.cred().data]
    text = str(lines)
    assert "wrong_credentials" in text
    assert "cannot be read" in text
    assert not [each for each in secret if each in text]


async def test_wrong_tries_are_seen_in_the_history(yard: Yard) -> None:
    """Somebody who was refused in a device's name is in its history of check-ins."""
    modem = await yard.modem(1)
    await try_once(modem, WRONG)
    (seen,) = await yard.field.peer(1).check_ins()
    assert (seen.result, seen.failure_type) == ("Failure", "Other")
