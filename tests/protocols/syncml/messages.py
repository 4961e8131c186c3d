"""Any message, for property tests: every command, every flag, text that escaping could spoil.

Left out is only what reading changes on purpose (``message``): white space round words, which is
layout; a MsgRef of Results that is empty, which means 1. Text in binary format is left to an example,
because other codecs turn it into bytes.
"""

from hypothesis import strategies as st

from overair.protocols.syncml.message import (
    UNSUPPORTED,
    Add,
    Alert,
    Atomic,
    Chal,
    Command,
    Copy,
    Cred,
    Delete,
    Exec,
    Get,
    Header,
    Item,
    Location,
    Message,
    Meta,
    Replace,
    Results,
    Sequence,
    Status,
    Unsupported,
)

# What XML can hold.
_CHARACTERS = st.one_of(
    st.sampled_from("\t\r\n <>&\"']/;!-[é€\U0001f4df"),
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
)
texts = st.text(_CHARACTERS, max_size=12)
words = texts.filter(lambda text: text == text.strip())
numbers = st.integers(0, 2**32)
flags = st.booleans()
formats = st.sampled_from(["chr", "int", "b64", "xml", "node", "null"])


def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
    """Return the strategy, or None."""
    return st.none() | strategy


locations = st.builds(Location, uri=words, name=maybe(texts))
metas = st.builds(
    Meta,
    format=maybe(formats),
    type=maybe(words),
    mark=maybe(words),
    size=maybe(numbers),
    next_nonce=maybe(words),
    max_msg_size=maybe(numbers),
    max_obj_size=maybe(numbers),
)
creds = st.builds(Cred, meta=maybe(metas), data=words)
text_items = st.builds(
    Item,
    target=maybe(locations),
    source=maybe(locations),
    meta=maybe(metas),
    data=maybe(texts),
    more_data=flags,
)
binary_items = st.builds(
    Item,
    target=maybe(locations),
    meta=st.builds(Meta, format=st.just("bin"), size=maybe(numbers)),
    data=st.binary(min_size=1, max_size=12),
    more_data=flags,
)


def _commands(item: st.SearchStrategy) -> st.SearchStrategy[Command]:
    items = st.lists(item, max_size=3).map(tuple)
    writing = {"cmd_id": words, "no_resp": flags, "cred": maybe(creds), "meta": maybe(metas)}
    return st.one_of(
        st.builds(
            Status,
            cmd_id=words,
            msg_ref=words,
            cmd_ref=words,
            cmd=words,
            target_refs=st.lists(words, max_size=2).map(tuple),
            source_refs=st.lists(words, max_size=2).map(tuple),
            cred=maybe(creds),
            chal=maybe(st.builds(Chal, meta=metas)),
            code=numbers,
            items=items,
        ),
        st.builds(
            Results,
            cmd_id=words,
            msg_ref=words.filter(bool),
            cmd_ref=words,
            meta=maybe(metas),
            target_ref=maybe(words),
            source_ref=maybe(words),
            items=items,
        ),
        st.builds(
            Alert,
            cmd_id=words,
            no_resp=flags,
            cred=maybe(creds),
            code=numbers,
            correlator=maybe(texts),
            items=items,
        ),
        st.builds(Get, **writing, lang=maybe(words), items=items),
        st.builds(Add, **writing, items=items),
        st.builds(Replace, **writing, items=items),
        st.builds(Copy, **writing, items=items),
        st.builds(Delete, **writing, archive=flags, soft=flags, items=items),
        st.builds(Exec, **writing, correlator=maybe(texts), item=maybe(item)),
        st.builds(
            Unsupported, cmd_id=words, no_resp=flags, name=st.sampled_from(sorted(UNSUPPORTED))
        ),
    )


def _groups(inner: st.SearchStrategy[Command]) -> st.SearchStrategy[Command]:
    group = {
        "cmd_id": words,
        "no_resp": flags,
        "meta": maybe(metas),
        "commands": st.lists(inner, max_size=2).map(tuple),
    }
    return st.builds(Atomic, **group) | st.builds(Sequence, **group)


def messages(item: st.SearchStrategy = text_items) -> st.SearchStrategy[Message]:
    """Return messages whose items are these."""
    commands = st.recursive(_commands(item), _groups, max_leaves=3)
    return st.builds(
        Message,
        header=st.builds(
            Header,
            ver_dtd=words,
            ver_proto=words,
            session_id=st.text(_CHARACTERS, min_size=1, max_size=16).filter(
                lambda text: text == text.strip()
            ),
            msg_id=st.integers(0, 999_999_999),
            target=locations,
            source=locations,
            resp_uri=maybe(words),
            no_resp=flags,
            cred=maybe(creds),
            meta=maybe(metas),
        ),
        commands=st.lists(commands, max_size=4).map(tuple),
        final=flags,
    )
