"""``overair simulation``: the whole system in one process, in virtual time (``docs/simulation.md``).

One module for each command; each is loaded when it is called.
"""

from cyclopts import App

app = App(name="simulation", help="Run the whole system under a seed, in virtual time.")
app.command(
    "overair.cli.simulation_run:run",
    name="run",
    help="Run seeds: fleets, operators and faults; say which invariants do not hold.",
)
app.command(
    "overair.cli.simulation_explore:run",
    name="explore",
    help="Let everything happen that may happen to two devices, in every order, to a depth.",
)
