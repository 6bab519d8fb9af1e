"""How plots look: one set of colours for light and dark pages, and how a matplotlib figure becomes inline SVG.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/, 2008), which people with any kind of colour vision tell apart. A plot
is drawn in stand-in colours; the SVG names CSS variables in their place, so that the page decides by light and dark.
"""

import html
import io
import re
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

INK, FAINT, PAPER = "#010101", "#020202", "#030303"
SERIES = ("#010104", "#010105", "#010106", "#010107", "#010108", "#010109", "#01010a")
VARIABLES = {INK: "ink", FAINT: "grid", PAPER: "paper", **{colour: f"s{n}" for n, colour in enumerate(SERIES, 1)}}
LINES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1.2)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1)),
    (0, (2, 2)),
    (0, (8, 2)),
)

WIDTH = 9.6  # inches of 72 px: the text column of the page
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 1.9,
    "legend.frameon": False,
    "patch.edgecolor": "none",
    "path.simplify": True,
}


@dataclass(frozen=True, slots=True)
class Grid:
    """The numbers under a plot."""

    headings: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """One plot of a report: `name` is its anchor, `words` say what to see (plain text), `note` what was left out."""

    name: str
    title: str
    words: str
    svg: str
    grid: Grid
    note: str = ""


class Canvas:
    """A figure with `columns` x `rows` plots, drawn with our settings whatever the person's own are."""

    def __init__(self, height: float, *, columns: int = 1, rows: int = 1, width: float = WIDTH, **options: Any) -> None:
        with mpl.rc_context(_settings("")):
            self.drawing = Drawing(figsize=(width, height))
            made = self.drawing.subplots(rows, columns, squeeze=False, **options)
            self.axes: list[Axes] = list(made.flat)

    def svg(self, name: str, title: str, description: str) -> str:
        """The SVG element, the same bytes every time: `name` keeps its ids apart from those of other plots."""
        out = io.StringIO()
        with mpl.rc_context(_settings(name)):
            self.drawing.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        return _inlined(out.getvalue(), name, title, description)

    def picture(self) -> str:
        """The drawing as an SVG file of its own, in fixed colours on white: for documents that show pictures."""
        out = io.StringIO()
        with mpl.rc_context(_settings("picture")):
            self.drawing.savefig(out, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
        return out.getvalue()


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Name both axes."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def show_legend(axes: Axes, **options: Any) -> None:
    """A legend if there is more than one thing to tell apart."""
    if len(axes.get_legend_handles_labels()[0]) > 1:
        axes.legend(**options)


def plot_settings() -> Any:
    """A context in which all plots of a page are drawn: some settings are read when a part is added, not when its plot begins."""
    return mpl.rc_context(_settings(""))


def plain_number(value: float, _place: object = None) -> str:
    """A tick of a logarithmic axis as a plain number."""
    return f"{value:g}"


def _settings(salt: str) -> Any:
    """All settings of matplotlib: a person's own must not change a report."""
    defaults = {
        name: value for name, value in mpl.rcParamsDefault.items() if not name.startswith(("backend", "interactive"))
    }
    return {**defaults, **_SETTINGS, "svg.hashsalt": salt}


def _inlined(svg: str, name: str, title: str, description: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font: ((?:\w+ )*[\d.]+px)[^;\"]*", r"font: \1 var(--face)", svg)
    svg = re.sub("#[0-9a-f]{6}", _variable, svg)
    size = re.search(r'<svg[^>]*?width="([\d.]+)pt"', svg)
    width = f"{float(size[1]):.0f}px" if size else "100%"
    opening = (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" style="width:{width};max-width:100%;height:auto"'
    )
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    end = svg.index(">")
    viewbox = re.search(r'viewBox="[^"]*"', svg[:end])
    words = (
        f'<title id="{name}-title">{html.escape(title)}</title><desc id="{name}-desc">{html.escape(description)}</desc>'
    )
    return f"{opening} {viewbox[0] if viewbox else ''}>{words}{svg[end + 1 :]}"


def _variable(found: re.Match[str]) -> str:
    variable = VARIABLES.get(found[0])
    return f"var(--{variable})" if variable else found[0]
