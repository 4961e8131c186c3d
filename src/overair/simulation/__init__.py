"""The whole system in one process, one thread and virtual time, under a seed (``docs/simulation.md``).

A *scenario* is a value that is made from a seed: devices, operators' steps, listeners and faults. A *run*
is a function of the scenario alone: the real server with its database, its engine and its API, on an event
loop whose time jumps, among simulated devices, networks and people. What must always hold is checked as it
runs; a failing seed fails again, in the same way, as often as it is asked to.

Production code does not know of it: what it needs of its surroundings (time, dice, who runs a transaction,
how bytes travel) it is given, and here it is given other things.
"""
