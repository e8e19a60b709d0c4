"""Composition of stages into flows, and the command line."""

from flows import settings

settings.apply()
