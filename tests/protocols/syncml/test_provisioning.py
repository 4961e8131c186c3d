"""The document that gives a device its account (oma-dm 12)."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overair.protocols.syncml.provisioning import (
    Account,
    AuthType,
    Credentials,
    bootstrap_mac,
    provisioning_wbxml,
    provisioning_xml,
)
from overair.protocols.syncml.values import UnencodableError
from tests.protocols.syncml.libwbxml import needed, to_wbxml, to_xml
from tests.protocols.syncml.vectors import wbxml

ACCOUNT = Account(
    server_id="fota",
    name="Firmware updates",
    address="http://127.0.0.1/dm",
    port=8099,
    client=Credentials(name="dev1", secret="devsecret1", nonce=b"clientnonce-0001"),
    server=Credentials(auth_type=AuthType.HMAC, name="fota", secret="srvsecret1"),
    connect=True,
)
DOCUMENT = """<?xml version="1.0"?>
<!DOCTYPE wap-provisioningdoc PUBLIC "-//WAPFORUM//DTD PROV 1.0//EN" "http://www.wapforum.org/DTD/prov.dtd">
<wap-provisioningdoc version="1.0">
 <characteristic type="APPLICATION">
  <parm name="APPID" value="w7"/>
  <parm name="PROVIDER-ID" value="fota"/>
  <parm name="NAME" value="Firmware updates"/>
  <parm name="INIT"/>
  <characteristic type="APPADDR">
   <parm name="ADDR" value="http://127.0.0.1/dm"/>
   <characteristic type="PORT">
    <parm name="PORTNBR" value="8099"/>
   </characteristic>
  </characteristic>
  <characteristic type="APPAUTH">
   <parm name="AAUTHLEVEL" value="APPSRV"/>
   <parm name="AAUTHTYPE" value="DIGEST"/>
   <parm name="AAUTHNAME" value="dev1"/>
   <parm name="AAUTHSECRET" value="devsecret1"/>
   <parm name="AAUTHDATA" value="Y2xpZW50bm9uY2UtMDAwMQ=="/>
  </characteristic>
  <characteristic type="APPAUTH">
   <parm name="AAUTHLEVEL" value="CLIENT"/>
   <parm name="AAUTHTYPE" value="HMAC"/>
   <parm name="AAUTHNAME" value="fota"/>
   <parm name="AAUTHSECRET" value="srvsecret1"/>
  </characteristic>
 </characteristic>
</wap-provisioningdoc>
"""
PLAIN = replace(ACCOUNT, port=None, connect=False)

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
credentials = st.builds(
    Credentials,
    auth_type=st.sampled_from(AuthType),
    name=texts,
    secret=texts,
    nonce=st.none() | st.binary(max_size=20),
)


def test_the_document_in_xml() -> None:
    """The account stands in the document as the specification has it."""
    assert provisioning_xml(ACCOUNT).decode() == DOCUMENT
    assert b"INIT" not in provisioning_xml(PLAIN)
    assert b"PORT" not in provisioning_xml(PLAIN)


def test_the_document_in_wbxml() -> None:
    """It is the same bytes that an independent encoder makes of the XML."""
    assert provisioning_wbxml(ACCOUNT) == wbxml("account")


@needed
def test_its_vector() -> None:
    """The vector is what libwbxml makes of our XML."""
    assert to_wbxml(provisioning_xml(ACCOUNT), layout=True) == wbxml("account")


@needed
@settings(max_examples=60)
@given(
    st.builds(
        Account,
        server_id=texts,
        name=texts,
        address=texts,
        port=st.none() | st.integers(1, 65535),
        client=credentials,
        server=credentials,
        connect=st.booleans(),
    )
)
def test_someone_else_reads_it(account: Account) -> None:
    """libwbxml reads from our WBXML what our XML says."""
    theirs = to_xml(provisioning_wbxml(account))
    assert _elements(theirs) == _elements(provisioning_xml(account))


def _elements(document: bytes) -> list[tuple[str, dict[str, str]]]:
    # An element without a value, and one whose value is empty, are the same to it.
    return [
        (element.tag, {name: value for name, value in element.attrib.items() if value})
        for element in ElementTree.fromstring(document).iter()
    ]


@pytest.mark.parametrize("text", ["a\x00", "a\nb", "\ud800"])
def test_text_that_no_attribute_holds(text: str) -> None:
    """Control characters cannot be written in either form."""
    for account in (
        replace(ACCOUNT, name=text),
        replace(ACCOUNT, client=replace(ACCOUNT.client, secret=text)),
    ):
        with pytest.raises(UnencodableError):
            provisioning_xml(account)
        with pytest.raises(UnencodableError):
            provisioning_wbxml(account)


def test_words_that_look_like_tokens_stay_text() -> None:
    """A name that happens to be one of the document type's words is written as text."""
    account = replace(ACCOUNT, name="DIGEST")
    assert b"\x03DIGEST\x00" in provisioning_wbxml(account)


def test_the_mac_of_a_bootstrap() -> None:
    """The MAC is HMAC-SHA1 in hex digits: RFC 2202's second test case."""
    assert (
        bootstrap_mac(b"Jefe", b"what do ya want for nothing?")
        == "EFFCDF6AE5EB2FA2D27416D5F184DF9C259A7C79"
    )
