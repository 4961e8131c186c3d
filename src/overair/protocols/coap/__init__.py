"""CoAP: RFC 7252 with observing (7641) and block-wise transfers (7959), as bytes, values and timers.

    datagram ── message ── request ── endpoint ── events
                 codec      values     exchanges, peers, repetition

``message`` knows where options begin and end, ``request`` what they mean, ``blocks`` what follows what
in a transfer, ``links`` the format of lists of resources. ``endpoint`` is one UDP socket's half of the
protocol for any number of peers: datagrams, requests and the time go in, datagrams and events come out.

Nothing here reads a clock, opens a socket or rolls dice: times are arguments, in seconds of a clock that
does not jump, and so is the source of random bytes. Not in here: DTLS, TCP, proxying, multicast, and
what a resource is (``lwm2m``, and the edge).
"""
