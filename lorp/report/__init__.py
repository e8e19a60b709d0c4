"""The page a person looks at: one self-contained HTML file a run."""

from lorp.report.card import CardFacts, render_card
from lorp.report.page import ReportData, StageLine, StoredObject, render_report

__all__ = ["CardFacts", "ReportData", "StageLine", "StoredObject", "render_card", "render_report"]
