"""overair: an open firmware-over-the-air (FOTA) campaign server.

The rooms, from the top down: ``cli`` and ``app`` build and start things; ``api``, ``devices`` and
``callbacks`` are the edges; ``engine`` makes every change, one transaction each; ``store`` holds all
SQL; ``core`` decides. ``docs/architecture.md`` walks one campaign through them.
"""

__version__ = "0.1.0"
