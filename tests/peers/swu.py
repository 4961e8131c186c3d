"""Signed SWUpdate images, made as a device maker would make them.

Debian's build of swupdate refuses unsigned archives: `sw-description` is signed with `openssl cms` and a certificate
whose purpose is e-mail protection, and the archive is a `cpio` in the crc form (magic 070702) holding
`sw-description`, `sw-description.sig` and the payload in this order. The archive is written here, byte by byte,
because the cpio program is not everywhere and its inode numbers would make the bytes differ from run to run.
"""

import enum
import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

PAYLOAD = "payload.bin"
BOARD = "overair"
REVISION = "1"


class Fault(enum.Enum):
    """Ways in which an image downloads well and then does not install."""

    BAD_HASH = "the description promises another sha256 than the payload has"
    BAD_PATH = "the payload goes to a directory that does not exist"
    BAD_BOARD = "the description is for other hardware"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """A private key and its self-signed certificate, both PEM."""

    key: Path
    certificate: Path


def make_signer(directory: Path, name: str = "signer") -> Signer:
    """Make a key and a certificate for e-mail protection, the purpose that swupdate asks for by default."""
    directory.mkdir(parents=True, exist_ok=True)
    signer = Signer(key=directory / f"{name}.key.pem", certificate=directory / f"{name}.crt.pem")
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"),
        *("-subj", f"/CN={name}", "-addext", "extendedKeyUsage=emailProtection"),
        *("-addext", "keyUsage=digitalSignature"),
        *("-keyout", str(signer.key), "-out", str(signer.certificate)),
    )
    return signer


def build_swu(
    out: Path,
    *,
    signer: Signer,
    payload: bytes,
    target: Path,
    version: str,
    fault: Fault | None = None,
) -> Path:
    """Write a signed image that puts `payload` at `target`, or fails in the way `fault` says."""
    sha256 = hashlib.sha256(b"other" if fault is Fault.BAD_HASH else payload).hexdigest()
    path = target.parent / "missing" / "deep" / target.name if fault is Fault.BAD_PATH else target
    revision = "no-such-revision" if fault is Fault.BAD_BOARD else REVISION
    description = out.with_suffix(".sw-description")
    description.write_text(
        "software = {\n"
        f'  version = "{version}";\n'
        f'  hardware-compatibility: [ "{revision}" ];\n'
        f'  files: ( {{ filename = "{PAYLOAD}"; path = "{path}"; sha256 = "{sha256}"; }} );\n'
        "};\n"
    )
    signature = out.with_suffix(".sw-description.sig")
    _openssl(
        *("cms", "-sign", "-binary", "-nosmimecap", "-outform", "DER"),
        *("-in", str(description), "-out", str(signature)),
        *("-signer", str(signer.certificate), "-inkey", str(signer.key)),
    )
    entries = (
        ("sw-description", description.read_bytes()),
        ("sw-description.sig", signature.read_bytes()),
        (PAYLOAD, payload),
    )
    out.write_bytes(_cpio(entries))
    return out


def _cpio(entries: tuple[tuple[str, bytes], ...]) -> bytes:
    archive = bytearray()
    for inode, (name, data) in enumerate((*entries, ("TRAILER!!!", b"")), start=1):
        trailer = name == "TRAILER!!!"
        fields = (
            0 if trailer else inode,
            0 if trailer else 0o100644,
            *(0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1),
            sum(data) & 0xFFFFFFFF,  # The crc form's "crc": the sum of all bytes.
        )
        archive += b"070702" + b"".join(b"%08X" % value for value in fields)
        archive += name.encode() + b"\0"
        archive += b"\0" * (-len(archive) % 4)
        archive += data
        archive += b"\0" * (-len(archive) % 4)
    return bytes(archive + b"\0" * (-len(archive) % 512))


def _openssl(*args: str) -> None:
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {args[0]} failed: {done.stderr}")
