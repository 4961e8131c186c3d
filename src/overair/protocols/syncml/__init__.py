"""OMA Device Management 1.2: what modems and the server say to each other, as bytes and values.

A message goes through two steps each way, and the two forms of bytes meet in the middle:

    bytes ── as_xml / as_wbxml ── elements ── read / write ── message

``codec`` is the door to both. Beside it stand the parts of the protocol that are not messages: digests
and nonces (``auth``), package 0 (``notification``), the account a device is given (``provisioning``),
and the vocabulary (``codes``, ``fumo``).

Nothing here reads a clock, opens a socket or rolls dice: nonces and times are arguments. Not in here:
sessions, and what the server does next (the edge), accounts and attempts (the engine).
"""
