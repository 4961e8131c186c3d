"""The fleet file: what an installation is filled from, and what ``overair export`` writes.

One document, JSON or YAML by its ending, decoded into the structs below. Devices may also stand in
a *devices file* beside it, CSV or NDJSON, which is read one device at a time. Everything is
strict: an unknown member is an error, so that a misspelling is never lost, and so is a member
that is there twice. An error names the path and the rule: ``$.devices[17].deviceId: …``.

A member that is left out (UNSET) says nothing: a new record gets the default, an existing one keeps
what it has. Beside what people write there are members for what ``export`` knows and they do not:
hashes of secrets, and digests of software whose bytes are in the artifact storage already.

``shapes`` has the members, ``decode`` reads, ``encode`` writes, ``problems`` is what can be wrong.
Not in here: rules between members and records (``engine/fleet.py``), anything with a database.
"""
