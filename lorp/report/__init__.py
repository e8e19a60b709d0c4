"""The page a person looks at: one self-contained HTML file a run."""

from lorp.report.page import ReportData, StageLine, StoredObject, render_report

__all__ = ["ReportData", "StageLine", "StoredObject", "render_report"]
