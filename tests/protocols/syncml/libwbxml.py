"""Debian's `wbxml2xml` and `xml2wbxml` (package libwbxml2-utils), as an independent WBXML codec.

An oracle for documents that we or these tools made, and never for anything else: the library crashes on
deep nesting and lets a small document grow to hundreds of megabytes.
"""

import shutil
import subprocess

import pytest

DOCTYPE = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<!DOCTYPE SyncML PUBLIC "-//SYNCML//DTD SyncML 1.2//EN" '
    b'"http://www.openmobilealliance.org/tech/DTD/OMA-TS-SyncML_RepPro_DTD-V1_2.dtd">'
)


def installed() -> bool:
    """Tell whether this machine has both tools."""
    return all(shutil.which(tool) for tool in ("wbxml2xml", "xml2wbxml"))


needed = pytest.mark.skipif(
    not installed(), reason="Debian's libwbxml2-utils is not installed (scripts/setup tools)"
)


def to_xml(document: bytes) -> bytes:
    """Return what `wbxml2xml` makes of a WBXML document."""
    return _run(["wbxml2xml", "-k", "-m", "0", "-o", "-", "-"], document)


def to_wbxml(
    document: bytes, version: str = "1.2", *, table: bool = False, layout: bool = False
) -> bytes:
    """Return what `xml2wbxml` makes of an XML document that has its document type.

    ``layout`` says that the white space between elements is none of the document's.
    """
    options = [*([] if layout else ["-k"]), *([] if table else ["-n"])]
    return _run(["xml2wbxml", *options, "-v", version, "-o", "-", "-"], document)


def _run(command: list[str], document: bytes) -> bytes:
    done = subprocess.run(command, input=document, capture_output=True, timeout=30, check=False)
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 0, said
    assert "succeeded" in said, said
    return done.stdout
