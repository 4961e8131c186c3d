"""Measurements of one server process, beside goosebit's, in one run. Start with `make bench`.

Nothing here is imported by the server or by the test suite, and no test asserts a speed: figures depend on the
machine, so the table shows ratios taken in the same run next to the bars that the project set itself.
"""
