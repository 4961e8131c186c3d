"""The management tree of a device: DevInfo, DevDetail and the firmware update object (oma-dm 6, 7).

It answers commands with a status; what an Exec sets going is its owner's business. It outlives power cuts.
"""

from collections.abc import Callable
from dataclasses import dataclass

from overair.protocols.syncml.codes import Format, StatusCode
from overair.protocols.syncml.fumo import Fumo, State

DEV_INFO = ("DevId", "Man", "Mod", "DmV", "Lang")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What a Get finds; of an interior node the names of its children."""

    format: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a device is, as far as it does not change."""

    device_id: str
    make: str = "Acme"
    model: str = "M1"
    hardware: str = "hw1"
    large_objects: bool = True


class Tree:
    """The nodes of one device. ``version`` is what it runs."""

    def __init__(
        self,
        facts: Facts,
        version: str,
        root: str,
        *,
        two_steps: bool = False,
        fumo_only: bool = False,
    ) -> None:
        self.facts = facts
        self.version = version
        self.fumo = Fumo(root)
        self.state = State.IDLE
        self.package_url = ""
        self.download_url = ""
        self.package_name = ""
        self.package_version = ""
        # A package that came inside of a session.
        self.data: bytes | None = None
        self._two_steps = two_steps
        self._fumo_only = fumo_only
        # Asked with the node's address and the correlator; returns the status of the Exec.
        self.on_exec: Callable[[str, str | None], int] = lambda _uri, _correlator: (
            StatusCode.NOT_ALLOWED
        )

    def get(self, uri: str) -> Leaf | int:
        """Return what is at an address, or the status that says why not."""
        uri, _, query = uri.partition("?")
        uri = uri.rstrip("/")
        if query:
            return StatusCode.OPTIONAL_FEATURE_MISSING
        if self._fumo_only and not _inside(uri, self.fumo.root):
            return StatusCode.PERMISSION_DENIED
        leaves = self._leaves()
        leaf = leaves.get(uri)
        if leaf is not None:
            return leaf
        if uri in self._exec_nodes():
            children = [path for path in (*leaves, *self._writable()) if _inside(path, uri)]
            return Leaf(format=Format.NODE, value=_names(uri, children))
        below = [path for path in (*leaves, *self._exec_nodes()) if _inside(path, uri)]
        if below:
            return Leaf(format=Format.NODE, value=_names(uri, below))
        return StatusCode.NOT_FOUND

    def replace(self, uri: str, data: str | bytes) -> int:
        """Set a node."""
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        if uri not in self._writable():
            known = uri in self._leaves() or uri in self._exec_nodes()
            return StatusCode.NOT_ALLOWED if known else StatusCode.NOT_FOUND
        if uri == self.fumo.download_and_update_url:
            self.package_url = text
        elif uri == self.fumo.download_url:
            self.download_url = text
        elif uri == self.fumo.pkg_name:
            self.package_name = text
        elif uri == self.fumo.pkg_version:
            self.package_version = text
        else:
            self.data = data if isinstance(data, bytes) else data.encode()
            self.package_url = self.download_url = ""
        return StatusCode.OK

    def add(self, uri: str, data: str | bytes) -> int:
        """Make a node; all there can be are there."""
        if uri in self._writable() or uri in self._leaves() or uri in self._exec_nodes():
            return StatusCode.ALREADY_EXISTS
        return StatusCode.NOT_ALLOWED

    def execute(self, uri: str, correlator: str | None) -> int:
        """Start what a node stands for."""
        if uri not in self._exec_nodes():
            known = uri in self._leaves() or uri in self._writable()
            return StatusCode.NOT_ALLOWED if known else StatusCode.NOT_FOUND
        return self.on_exec(uri, correlator)

    def _exec_nodes(self) -> tuple[str, ...]:
        fumo = self.fumo
        both = () if self._two_steps else (fumo.download_and_update,)
        return (*both, fumo.download, fumo.update)

    def _writable(self) -> tuple[str, ...]:
        fumo = self.fumo
        both = () if self._two_steps else (fumo.download_and_update_url,)
        return (*both, fumo.download_url, fumo.update_data, fumo.pkg_name, fumo.pkg_version)

    def _leaves(self) -> dict[str, Leaf]:
        facts, fumo = self.facts, self.fumo
        texts = {
            "./DevInfo/DevId": facts.device_id,
            "./DevInfo/Man": facts.make,
            "./DevInfo/Mod": facts.model,
            "./DevInfo/DmV": "1.2",
            "./DevInfo/Lang": "en-US",
            "./DevDetail/DevTyp": "modem",
            "./DevDetail/OEM": facts.make,
            "./DevDetail/FwV": self.version,
            "./DevDetail/SwV": self.version,
            "./DevDetail/HwV": facts.hardware,
            fumo.pkg_name: self.package_name,
            fumo.pkg_version: self.package_version,
            fumo.download_url: self.download_url,
        }
        if not self._two_steps:
            texts[fumo.download_and_update_url] = self.package_url
        numbers = {
            "./DevDetail/URI/MaxDepth": 0,
            "./DevDetail/URI/MaxTotLen": 0,
            "./DevDetail/URI/MaxSegLen": 0,
            fumo.state: int(self.state),
        }
        large = Leaf(format=Format.BOOL, value=str(facts.large_objects).lower())
        return {
            **{uri: Leaf(format=Format.CHR, value=text) for uri, text in texts.items()},
            **{uri: Leaf(format=Format.INT, value=str(number)) for uri, number in numbers.items()},
            "./DevDetail/LrgObj": large,
        }


def _inside(uri: str, of: str) -> bool:
    return uri.startswith(f"{of}/")


def _names(uri: str, below: list[str]) -> str:
    names = (path[len(uri) + 1 :].partition("/")[0] for path in below)
    return "/".join(dict.fromkeys(names))
