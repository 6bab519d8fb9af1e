"""Reports as one HTML file each: no request leaves the page, light and dark, plots as inline SVG (matplotlib), numbers under each.

Needs the extra `simulate`: load it with `simulations.extra.load("simulations.report")`.
"""

from simulations.report.comparison import comparison_html
from simulations.report.page import report_html

__all__ = ["comparison_html", "report_html"]
