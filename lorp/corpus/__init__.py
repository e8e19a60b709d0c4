"""Addresses of text -> documents -> token windows: calibration and evaluation never share text.

The values are here; what makes them is in the modules beneath: `address`, `local` and `hub` read documents, `split`
and `overlap` keep the two uses apart, `windows` cuts, `presets` names corpora on the hub.
"""

from lorp.corpus.documents import Document, Window, Windows

__all__ = ["Document", "Window", "Windows"]
