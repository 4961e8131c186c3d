"""Where a device has its update object: asked once, remembered after (oma-dm 7.1).

Makers put it where they like. A root from the settings is believed; one that answered before is asked
again; otherwise the usual places are asked for their State, and where the place is only a parent for its
children first. The first that answers is it. A place that is there but does not show its State (it said
"not allowed" or "no permission", and not "not found") is better than none.
"""

from collections.abc import Iterator

from overair.protocols.omadm import nodes
from overair.protocols.omadm.knowledge import Knowledge
from overair.protocols.omadm.session import Session, Verb
from overair.protocols.omadm.task import Profile
from overair.protocols.syncml import fumo
from overair.protocols.syncml.codes import StatusCode, is_success

# Of a parent more children than this are not looked at.
_MOST_CHILDREN = 4
# It is there, and does not tell.
_HIDDEN = frozenset(
    {
        StatusCode.INVALID_CREDENTIALS,
        StatusCode.FORBIDDEN,
        StatusCode.NOT_ALLOWED,
        StatusCode.OPTIONAL_FEATURE_MISSING,
        StatusCode.PERMISSION_DENIED,
    }
)


def root_of(session: Session, knowledge: Knowledge, profile: Profile) -> str | None:
    """Return the root to work with; None: none is known."""
    if profile.fumo_root:
        return profile.fumo_root
    if knowledge.fumo_root is not None:
        return knowledge.fumo_root
    candidates = list(_candidates(session, profile))
    for root in candidates:
        if session.code(Verb.GET, fumo.Fumo(root).state) in _HIDDEN:
            return root
    return next((report.root for report in session.reports if report.root), None)


def to_ask(session: Session, knowledge: Knowledge, profile: Profile) -> list[str]:
    """Return the nodes to Get next, to know the State; none are left when it has been asked for."""
    known = profile.fumo_root or knowledge.fumo_root
    if known:
        states = [fumo.Fumo(known).state]
    else:
        parents = [root for root in profile.roots if root in fumo.PARENTS]
        states = parents + [fumo.Fumo(root).state for root in _candidates(session, profile)]
    return [uri for uri in states if not session.asked(Verb.GET, uri)]


def _candidates(session: Session, profile: Profile) -> Iterator[str]:
    """Yield the places where the object may be, as far as is known by now."""
    for root in profile.roots:
        if root not in fumo.PARENTS:
            yield root
            continue
        if not is_success(session.code(Verb.GET, root) or 0):
            continue
        words = (word.strip() for word in (session.value(root) or "").split("/"))
        names = [word for word in words if nodes.is_name(word)]
        if "State" in names:
            yield root
        else:
            yield from (f"{root}/{name}" for name in names[:_MOST_CHILDREN])
