"""Which device is updated in which slot: campaigns spread over the cells that devices sit in.

``radio`` says in which cell a device is, how well it hears it and whether it can be reached;
``grid`` when a campaign may begin work at all; ``occupancy`` what of each cell and slot is taken;
``planner`` puts them together. The rules are told in ``docs/slots.md``; they are ``lifecycle.md`` 5.2
and 5.3 and ``lwm2m.md`` 11.
"""
