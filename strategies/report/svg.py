"""Make matplotlib's SVG small, deterministic and coloured by the page."""

import io
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "ink": "#101010",
    "muted": "#202020",
    "grid": "#303030",
    "surface": "#404040",
    "student": "#505050",
    "hold": "#606060",
    "other": "#707070",
    "benchmark": "#808080",
    "oracle": "#909090",
    "good": "#a0a0a0",
    "bad": "#b0b0b0",
    "faint": "#c0c0c0",
}
"""What matplotlib draws with; in the page each is the variable of the same name, light or dark."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read, selected and searched
    "font.family": "sans-serif",
    "font.size": 11.0,
    "text.parse_math": False,  # a symbol may hold a dollar sign
    "text.color": COLOURS["muted"],
    "axes.edgecolor": COLOURS["grid"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.xmargin": 0.01,
    "grid.color": COLOURS["grid"],
    "grid.linewidth": 0.8,
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.solid_joinstyle": "round",
    "path.simplify": False,
}

_NUMBER = re.compile(r"-?\d+\.\d+")


def render_svg(figure: "Figure", label: str) -> str:
    """Return a figure as an `svg` element that says `label` to a screen reader.

    Equal figures give equal text. `label` is escaped.
    """
    from html import escape

    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.StringIO()
    # No name, date or version of the program stands in the file.
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    FigureCanvasSVG(figure).print_svg(file, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick|[A-Z]\w+)_\d+"', "", text
    )
    text = re.sub(r"<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    # The page's own font is used; an 11-unit text needs no statement either.
    text = re.sub(r"font: (?:[\w.]+ )*?([\d.]+)px [^;\"]*(?:; )?", r"font-size: \1px; ", text)
    text = text.replace("font-size: 11px; ", "")
    text = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", text)
    width, height = (float(number) for number in re.findall(r'(?:width|height)="([\d.]+)pt"', text)[:2])
    opening = (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
    )
    text = opening + text[text.index(">") + 1 :]
    text = _NUMBER.sub(lambda number: f"{float(number[0]):.1f}".removesuffix(".0"), text)
    for name, colour in COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    text = text.replace("; stroke-linecap: butt", "").replace("; stroke-linejoin: round", "")
    text = re.sub(r'<path d="[^"]*" style="fill: none"/>', "", text)  # the areas behind figure and axes
    text = re.sub(r'(?<= d=")[^"]*', lambda path: re.sub(r" (?:L )", " ", path[0]).strip(), text)
    before = ""
    while before != text:
        before, text = text, re.sub(r"<g>\s*</g>|<g/>|<defs>\s*</defs>", "", text)
    return re.sub(r"\s*\n\s*", " ", text).replace("> <", "><").strip()
