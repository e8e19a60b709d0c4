"""Composition of stages into flows, and the command line."""
