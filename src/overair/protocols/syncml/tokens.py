"""The WBXML code pages of SyncML 1.1 and 1.2: a tag's byte and its name (oma-dm 16.2 to 16.4).

Names are given in the order of their numbers, because that is how the specification numbers them.
Page 2 is only read: a device may answer a Get with its tree as TNDS. DevInf's pages belong to data
synchronisation; in device management the device's properties are nodes, and no document has them.
"""

from collections.abc import Mapping

SYNCML = 0
METINF = 1
DMDDF = 2

# Tags begin after the global tokens.
_FIRST = 0x05

_SYNCML = """
    Add Alert Archive Atomic Chal Cmd CmdID CmdRef Copy Cred Data Delete Exec Final Get Item Lang
    LocName LocURI Map MapItem Meta MsgID MsgRef NoResp NoResults Put Replace RespURI Results Search
    Sequence SessionID SftDel Source SourceRef Status Sync SyncBody SyncHdr SyncML Target TargetRef
    (reserved) VerDTD VerProto NumberOfChanges MoreData Field Filter Record FilterType SourceParent
    TargetParent Move Correlator
"""
_METINF = """
    Anchor EMI Format FreeID FreeMem Last Mark MaxMsgSize Mem MetInf Next NextNonce SharedMEM Size Type
    Version MaxObjSize FieldLevel
"""
_DMDDF = """
    AccessType ACL Add b64 bin bool chr CaseSense CIS Copy CS date DDFName DefaultValue Delete
    Description DFFormat DFProperties DFTitle DFType Dynamic Exec float Format Get int Man MgmtTree MIME
    Mod Name Node node NodeName null Occurrence One OneOrMore OneOrN Path Permanent Replace RTProperties
    Scope Size time Title TStamp Type Value verDTD verNo xml ZeroOrMore ZeroOrN ZeroOrOne
"""


def _page(names: str) -> dict[int, str]:
    numbered = enumerate(names.split(), start=_FIRST)
    return {code: name for code, name in numbered if name != "(reserved)"}


TAGS: Mapping[int, Mapping[int, str]] = {
    SYNCML: _page(_SYNCML),
    METINF: _page(_METINF),
    DMDDF: _page(_DMDDF),
}

CODES: Mapping[int, Mapping[str, int]] = {
    page: {name: code for code, name in tags.items()} for page, tags in TAGS.items()
}

# The document types that are read, by number and by text (oma-dm 16.1). What is sent is always 1.2.
PUBLIC_ID = 0x1201
PUBLIC_IDS: Mapping[int, str] = {
    0x0FD1: "-//SYNCML//DTD SyncML 1.0//EN",
    0x0FD3: "-//SYNCML//DTD SyncML 1.1//EN",
    PUBLIC_ID: "-//SYNCML//DTD SyncML 1.2//EN",
}
