"""Reports for people: one HTML file each, with charts and the table behind every chart, that prints well."""

from zkmargin.app.reports.accepted import acceptance_page
from zkmargin.app.reports.maker import maker_page

__all__ = ["acceptance_page", "maker_page"]
