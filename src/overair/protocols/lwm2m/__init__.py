"""LwM2M 1.0 and 1.1: what devices and the server say to each other over CoAP, as bytes and values.

    registration    who registers, for how long, with which objects (endpoint_name: which IMEI that is)
    formats         bytes of any content format to readings, and back: text, TLV, JSON, SenML, CBOR
    objects         readings as what they mean: device, serving cell, firmware machine
    firmware        what a firmware attempt does next: the tables of lwm2m 8 as total functions
    bootstrap       the messages by which a device is given its account

A reading is a path and a value that is as raw as its format left it; ``values`` knows what it may be
taken for. Nothing here does I/O or reads a clock. Not in here: registrations that are kept, attempts
that are stored, and when a device is awake (the edge).
"""
