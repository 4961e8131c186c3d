"""Kinds of numbers that settings are made of."""

from typing import Annotated

from msgspec import Meta

Positive = Annotated[int, Meta(gt=0)]
NotNegative = Annotated[int, Meta(ge=0)]
