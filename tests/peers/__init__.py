"""Clients and peers that this project did not write, wrapped so that tests can drive them.

Nothing here imports the server. Two ends of one codec agree on the same bug; these do not share ours.
"""
