"""Specifications as code: bytes and values in, events and bytes out. Standard library only."""
