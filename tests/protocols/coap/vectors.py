"""The example datagrams of the specification (lwm2m 19), by their names."""

from pathlib import Path

_ROWS = [
    line.split("\t")
    for line in (Path(__file__).parent / "data" / "datagrams.tsv").read_text("utf-8").splitlines()
    if not line.startswith("#")
]
DATAGRAMS = {name: bytes.fromhex(datagram) for _, name, datagram in _ROWS}
NAMES = sorted(DATAGRAMS)
