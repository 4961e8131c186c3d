"""What the settings say to a session, in the protocol's words; worked out once, and not for each message."""

from datetime import timedelta

from overair.config.omadm import Omadm, OmadmModel
from overair.protocols.omadm.task import Method, Profile, Server
from overair.protocols.syncml import fumo


class Models:
    """The settings of each model, and its profile."""

    def __init__(self, rules: Omadm) -> None:
        self._known = {
            name: (model, _profile(model, rules)) for name, model in rules.models.items()
        }
        self._others = OmadmModel(), _profile(OmadmModel(), rules)

    def of(self, make: str, model: str) -> tuple[OmadmModel, Profile]:
        """Those of a device's model."""
        return self._known.get(f"{make} {model}", self._others)


def server_at(rules: Omadm, address: str) -> Server:
    """Our side of every account, for devices that reach us at this address."""
    return Server(
        address=address,
        name=rules.server_id,
        session_idle=timedelta(seconds=rules.session_idle_s),
        session_messages=rules.session_messages,
        exec_grace=timedelta(seconds=rules.exec_grace_s),
    )


def _profile(model: OmadmModel, rules: Omadm) -> Profile:
    return Profile(
        fumo_root=model.fumo_root,
        roots=tuple(dict.fromkeys((*rules.fumo_roots, *fumo.ROOTS))),
        method=Method(model.method) if model.method else Method.AUTO,
    )
