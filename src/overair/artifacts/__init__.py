"""Artifacts: the bytes of software and configuration files, by their SHA-256.

``storage`` is the interface and ``open_storage`` beside it in ``choice``; ``local`` and ``s3`` keep
the bytes; ``multipart`` takes an upload apart and ``serving`` sends an artifact to a device;
``links`` signs addresses for devices that download without credentials.

Not in here: which device may have which artifact, and what an artifact is called. Storage knows
digests only; names and rights are rows of the database. There is no SQL in this room.
"""
