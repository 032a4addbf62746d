"""Draw the charts of a report: each twice, for a wide screen and for a phone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from engine.metrics.accuracy import is_hit
from engine.model import Bar, Direction, Forecast
from engine.outcomes import Outcome, Scored
from engine.trading.records import Fill
from strategies.equity_file import EquityCurve
from strategies.report.series import (
    Bin,
    Pair,
    Rolling,
    daily_values,
    measure_drawdown,
    thin,
    wilson,
)
from strategies.report.svg import COLOURS, STYLE, render_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BUCKETS = {True: 110, False: 60}
"""Into how many pieces a line is thinned, of up to four points each: on a wide screen, and on a phone."""

_RECENT = 45
"""How many of the last bars of a symbol are drawn with each forecast and fill."""

_CELLS = 28
_DASHES = {"student": "", "hold": "5 3", "benchmark": "2 2", "other": "7 2 2 2", "oracle": "1 3"}
"""A dash pattern for each colour of a line, so that colour alone carries no meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegendEntry:
    """A name with the colour it is drawn in, a dash pattern or a mark, and a value beside it."""

    name: str
    colour: str
    dash: str = ""
    mark: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart in two widths, what a screen reader says of it, its legend, and a sentence under it."""

    wide: str
    narrow: str
    label: str
    legend: tuple[LegendEntry, ...] = ()
    caption: str = ""


class Draw(Protocol):
    """Draws on a figure, for a wide screen or for a phone."""

    def __call__(self, figure: "Figure", *, wide: bool) -> None:
        """Draw on `figure`."""


def _draw(
    name: str,
    draw: Draw,
    label: str,
    *,
    height: tuple[float, float] = (3.4, 2.9),
    legend: Sequence[LegendEntry] = (),
    caption: str = "",
) -> Chart:
    """Return a chart drawn in both widths; heights in inches of 72 units."""
    texts = {}
    for wide, (width, tall) in {True: (14.6, height[0]), False: (5.0, height[1])}.items():
        with _figure(ascii((name, wide)), width, tall) as figure:
            draw(figure, wide=wide)
            texts[wide] = render_svg(figure, label)
    return Chart(wide=texts[True], narrow=texts[False], label=label, legend=tuple(legend), caption=caption)


@contextmanager
def _figure(salt: str, width: float, height: float) -> Iterator["Figure"]:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE | {"svg.hashsalt": salt}):
        yield Figure(figsize=(width, height), dpi=72, facecolor="none")


def _set_margins(
    figure: "Figure", *, left: int = 48, bottom: int = 22, across: float = 0.0, down: float = 0.0
) -> None:
    """Leave room for the labels, in units of 1/72 inch; fitting it to the texts would take twice the time.

    Args:
        figure: The figure.
        left: For the labels of the vertical axis.
        bottom: For those of the horizontal axis.
        across: Between axes side by side, a fraction of their width.
        down: Between axes on top of each other, a fraction of their height.
    """
    width, height = figure.get_size_inches() * 72
    figure.subplots_adjust(
        left=left / width,
        right=1 - 16 / width,
        bottom=bottom / height,
        top=1 - 10 / height,
        wspace=across,
        hspace=down,
    )


def _compact(axes: "Axes") -> None:
    """Write the numbers of the vertical axis in few characters."""
    from matplotlib.ticker import FuncFormatter

    def show(value: float, _place: int) -> str:
        return f"{value / 1e3:,.4g}k" if abs(value) >= 10_000 else f"{value:,.4g}"

    axes.yaxis.set_major_formatter(FuncFormatter(show))


def _plain(axes: "Axes", *, vertical: bool = False) -> None:
    axes.set_facecolor("none")
    axes.grid(visible=vertical, axis="x")
    axes.spines["left"].set_visible(False)


def _dated(axes: "Axes", *, wide: bool) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=9 if wide else 5)
    axes.xaxis.set_major_locator(locator)
    # The year or month that the labels share would stand at the edge, where nobody looks for it.
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def _percent(axes: "Axes", axis: str = "y", digits: int | None = 0) -> None:
    """Write percentages on an axis; with None as many decimals as its ticks need."""
    from matplotlib.ticker import PercentFormatter

    getattr(axes, f"{axis}axis").set_major_formatter(PercentFormatter(1.0, decimals=digits))


def _numbers(days: Sequence[date | datetime]) -> list[float]:
    from matplotlib.dates import date2num

    return [float(number) for number in date2num(list(days))]


def draw_equity(
    curves: Mapping[str, EquityCurve], names: Mapping[str, str], drawn: Mapping[str, str], cash: float
) -> Chart:
    """Draw equity as a multiple of the starting cash, and the drawdown under it.

    Args:
        curves: The equity of each forecaster.
        names: What each is called.
        drawn: The colour of each that is drawn in one, the student first; the others are thin lines.
        cash: The equity at the start.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    daily = {name: daily_values(curve) for name, curve in curves.items() if curve.at}
    values = [value / cash for series in daily.values() for value in series.values() if value > 0]
    logarithmic = bool(values) and max(values) / max(min(values), 1e-9) > 5
    base = 0.0 if logarithmic else 1.0
    styles = {name: (colour, _DASHES[colour]) for name, colour in drawn.items() if name in daily}
    falling = [*styles][:3]

    def draw(figure: "Figure", *, wide: bool) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
        for name, series in sorted(daily.items(), key=lambda pair: pair[0] in styles):
            x = _numbers([*series])
            y = [value / cash - base for value in series.values()]
            if name not in styles:
                above.plot(*thin(x, y, 40), color=COLOURS["faint"], linewidth=0.8)
                continue
            colour, dash = styles[name]
            pattern = (0, tuple(float(part) for part in dash.split())) if dash else "-"
            width = 2.2 if name == falling[0] else 1.5
            style: dict[str, Any] = {"color": COLOURS[colour], "linestyle": pattern, "linewidth": width}
            above.plot(*thin(x, y, _BUCKETS[wide]), **style)
            if name in falling:
                falls = measure_drawdown(series.values(), cash)
                x_, y_ = thin(x, falls, _BUCKETS[wide])
                below.plot(x_, y_, **style | {"linewidth": width * 0.7})
                if name == falling[0]:
                    below.fill_between(x_, y_, 0, color=COLOURS[colour], alpha=0.15, linewidth=0)
        above.axhline(1.0 - base, color=COLOURS["muted"], linewidth=0.8)
        if logarithmic:
            above.set_yscale("log")
            above.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=8))
            above.yaxis.set_minor_formatter(NullFormatter())
            above.minorticks_off()
        else:
            above.yaxis.set_major_locator(MaxNLocator(5))
        above.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value + base - 1:+,.0%}"))
        below.yaxis.set_major_locator(MaxNLocator(3))
        _percent(below)
        for axes in (above, below):
            _plain(axes)
        _dated(below, wide=wide)
        _set_margins(figure, down=0.08)

    ends = {name: series[max(series)] / cash - 1.0 for name, series in daily.items()}
    legend = [
        LegendEntry(name=names[name], colour=colour, dash=dash, value=f"{ends[name]:+,.1%}")
        for name, (colour, dash) in styles.items()
    ]
    if len(daily) > len(styles):
        legend.append(LegendEntry(name=f"{len(daily) - len(styles)} others", colour="faint"))
    summary = ", ".join(f"{entry.name} {entry.value}".strip() for entry in legend)
    return _draw(
        "equity",
        draw,
        f"Equity after costs and drawdown by day. Return at the end: {summary}.",
        height=(5.4, 5.0),
        legend=legend,
        caption="Return since the start after costs"
        + (", logarithmic scale" if logarithmic else "")
        + "; below, the fall from the highest value so far, at closes.",
    )


def draw_rolling(rolling: Rolling, base: float | None) -> Chart:
    """Draw the rolling accuracy with its band; `base` is the accuracy of always calling the commoner side."""
    x = _numbers(rolling.days)
    last = rolling.value[-1]

    def draw(figure: "Figure", *, wide: bool) -> None:
        axes = figure.subplots()
        buckets = _BUCKETS[wide]
        # Each bound is thinned by itself, so that the band is a polygon of its own.
        above, below = thin(x, rolling.high, buckets), thin(x, rolling.low, buckets)
        axes.fill(above[0] + below[0][::-1], above[1] + below[1][::-1], color=COLOURS["student"], alpha=0.15)
        axes.plot(*thin(x, rolling.value, buckets), color=COLOURS["student"], linewidth=2)
        axes.axhline(0.5, color=COLOURS["muted"], linewidth=1)
        if base is not None:
            axes.axhline(base, color=COLOURS["hold"], linewidth=1.2, linestyle=(0, (5, 3)))
        _percent(axes)
        _plain(axes)
        _dated(axes, wide=wide)
        _set_margins(figure)

    legend = [
        LegendEntry(name=f"student, last {rolling.window} days", colour="student", value=f"{last:.1%}"),
        LegendEntry(name="its 95% band, days as clusters", colour="student", mark="band"),
    ]
    if base is not None:
        legend.append(
            LegendEntry(name="always the commoner side", colour="hold", dash="5 3", value=f"{base:.1%}")
        )
    return _draw(
        "rolling",
        draw,
        f"Rolling accuracy over {rolling.window} days, {last:.1%} at the end, between "
        f"{min(rolling.value):.1%} and {max(rolling.value):.1%}.",
        legend=legend,
        caption="Each point is the share of right directions over the days before it; 50% is a coin.",
    )


def draw_reliability(curves: Mapping[str, Sequence[Bin]]) -> Chart:
    """Draw how often the close rose against the probability that was given, with 95% intervals."""
    styles = {"stated": ("student", "o", "stated probability"), "token": ("hold", "s", "token probability")}
    drawn = {name: bins for name, bins in curves.items() if name in styles}

    def draw(figure: "Figure", *, wide: bool) -> None:
        axes, counts = (
            figure.subplots(1, 2, width_ratios=(1, 1))
            if wide
            else figure.subplots(2, 1, height_ratios=(2, 1))
        )
        axes.plot([0, 1], [0, 1], color=COLOURS["muted"], linewidth=1, linestyle=(0, (5, 3)))
        for shift, (name, bins) in enumerate(drawn.items()):
            colour, marker, _ = styles[name]
            x, y = [each["mean"] for each in bins], [each["rises"] for each in bins]
            bounds = [wilson(each["rises"], each["n"]) for each in bins]
            errors = [
                [max(0.0, value - low) for value, (low, _) in zip(y, bounds, strict=True)],
                [max(0.0, high - value) for value, (_, high) in zip(y, bounds, strict=True)],
            ]
            axes.errorbar(
                x, y, yerr=errors, color=COLOURS[colour], marker=marker, markersize=6, linewidth=1.6
            )
            width = 0.8 / len(drawn)
            middles = [(each["low"] + each["high"]) / 2 for each in bins]
            span = min((each["high"] - each["low"] for each in bins), default=0.1)
            counts.bar(
                [middle + (shift - (len(drawn) - 1) / 2) * width * span for middle in middles],
                [each["n"] for each in bins],
                width=width * span,
                color=COLOURS[colour],
            )
        for panel in (axes, counts):
            panel.set_xlim(0, 1)
            _plain(panel)
            _percent(panel, "x")
        axes.set_ylim(0, 1)
        _percent(axes)
        axes.set_ylabel("share of rises")
        counts.set_ylabel("forecasts")
        counts.set_xlabel("probability of a rise")
        if wide:
            axes.set_xlabel("probability of a rise")
        _compact(counts)
        _set_margins(figure, left=62, bottom=38, across=0.16, down=0.22)

    legend = [
        LegendEntry(name=styles[name][2], colour=styles[name][0], mark={"o": "●", "s": "■"}[styles[name][1]])
        for name in drawn
    ]
    summary = "; ".join(
        f"{styles[name][2]}, where it says "
        + ", ".join(f"{bins[place]['mean']:.0%} it rose in {bins[place]['rises']:.0%}" for place in (0, -1))
        for name, bins in drawn.items()
    )
    return _draw(
        "reliability",
        draw,
        f"Reliability. {summary}.",
        height=(4.4, 5.6),
        legend=[*legend, LegendEntry(name="perfect", colour="muted", dash="5 3")],
        caption="On the diagonal a probability comes true as often as it says. Bars: 95% (Wilson 1927).",
    )


def draw_outcomes(pairs: Sequence[Pair]) -> Chart:
    """Draw the forecast against the actual return: how many of each, and the mean outcome by tenth."""
    forecasts, outcomes = sorted(p.forecast for p in pairs), sorted(p.outcome for p in pairs)
    wide_x = _most(forecasts) or 0.01
    wide_y = _most(outcomes) or 0.01
    cells: dict[tuple[int, int], int] = {}
    for pair in pairs:
        place = _cell(pair.forecast, wide_x), _cell(pair.outcome, wide_y)
        cells[place] = cells.get(place, 0) + 1
    most = max(cells.values(), default=1)
    levels: dict[int, list[tuple[int, int]]] = {}
    for place, count in cells.items():
        levels.setdefault(max(1, math.ceil(5 * math.log1p(count) / math.log1p(most))), []).append(place)
    tenths = _tenths(pairs)

    def draw(figure: "Figure", *, wide: bool) -> None:
        density, means = figure.subplots(1, 2) if wide else figure.subplots(2, 1)
        density.axhline(0, color=COLOURS["muted"], linewidth=0.8)
        density.axvline(0, color=COLOURS["muted"], linewidth=0.8)
        for level, places in sorted(levels.items()):
            density.add_collection(
                _squares(places, wide_x, wide_y, COLOURS["student"], alpha=0.16 * level + 0.1)
            )
        density.set_xlim(-wide_x, wide_x)
        density.set_ylim(-wide_y, wide_y)
        means.axhline(0, color=COLOURS["muted"], linewidth=0.8)
        means.errorbar(
            [row[0] for row in tenths],
            [row[1] for row in tenths],
            yerr=[row[2] for row in tenths],
            color=COLOURS["student"],
            marker="o",
            markersize=6,
            linewidth=1.6,
        )
        for axes, text in ((density, "actual return"), (means, "mean actual return")):
            _plain(axes)
            _percent(axes, "x", None)
            _percent(axes, "y", None)
            axes.locator_params(axis="x", nbins=5)
            axes.set_ylabel(text)
            axes.set_xlabel("forecast return" if wide or axes is means else "")
        _set_margins(figure, left=62, bottom=38, across=0.18, down=0.16)

    rising = sum((pair.forecast > 0) == (pair.outcome > 0) for pair in pairs if pair.outcome != 0)
    return _draw(
        "outcomes",
        draw,
        f"Forecast against actual return of {len(pairs):,} forecasts; the signs agree in {rising:,}.",
        height=(4.4, 6.8),
        caption="Left or above: how many forecasts, stronger for more (log scale; the last 1% at the edge). "
        "Right or below: the mean outcome of each tenth of the forecasts, with its 95% interval.",
    )


def _most(values: Sequence[float]) -> float:
    """Return the absolute value that 99% of the values stay below."""
    sizes = sorted(map(abs, values))
    return sizes[min(len(sizes) - 1, int(0.99 * len(sizes)))] if sizes else 0.0


def _cell(value: float, most: float) -> int:
    return min(_CELLS - 1, max(0, int((value / most + 1) / 2 * _CELLS)))


def _squares(
    places: Sequence[tuple[int, int]], wide_x: float, wide_y: float, colour: str, alpha: float
) -> Any:
    """Return all cells of one level as one path, which is far smaller than one each."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    x_step, y_step = 2 * wide_x / _CELLS, 2 * wide_y / _CELLS
    vertices: list[tuple[float, float]] = []
    codes: list[Any] = []
    for column, line in sorted(places):
        left, low = -wide_x + column * x_step, -wide_y + line * y_step
        right, high = left + x_step * 0.92, low + y_step * 0.92
        vertices += [(left, low), (right, low), (right, high), (left, high), (left, low)]
        codes += [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return PathCollection(
        [Path(vertices, codes)], facecolors=colour, edgecolors="none", alpha=min(1.0, alpha)
    )


def _tenths(pairs: Sequence[Pair]) -> list[tuple[float, float, float]]:
    """Return the mean forecast, mean outcome and 95% half-width of each tenth by forecast."""
    ordered = sorted(pairs, key=lambda pair: pair.forecast)
    groups = min(10, len(ordered) // 5)
    rows = []
    for number in range(groups):
        part = ordered[number * len(ordered) // groups : (number + 1) * len(ordered) // groups]
        mean = math.fsum(pair.outcome for pair in part) / len(part)
        spread = math.fsum((pair.outcome - mean) ** 2 for pair in part) / max(1, len(part) - 1)
        forecast = math.fsum(pair.forecast for pair in part) / len(part)
        rows.append((forecast, mean, 1.96 * math.sqrt(spread / len(part))))
    return rows


PRICE_LEGEND = (
    LegendEntry(name="close", colour="ink"),
    LegendEntry(name="forecast up, right", colour="good", mark="▲"),
    LegendEntry(name="forecast down, right", colour="good", mark="▼"),
    LegendEntry(name="wrong", colour="bad", mark="△▽"),
    LegendEntry(name="bought", colour="student", mark="+"),
    LegendEntry(name="sold", colour="hold", mark="×"),
)


def draw_price(symbol: str, bars: Sequence[Bar], scored: Sequence[Scored], fills: Sequence[Fill]) -> Chart:
    """Draw all closes of a symbol with the units held, and its last bars with each forecast and fill.

    Args:
        symbol: The symbol.
        bars: Its traded bars, oldest first.
        scored: Its predictions with their outcomes.
        fills: Its fills.
    """
    closes = _numbers([bar.closes_at for bar in bars]), [bar.close for bar in bars]
    since = bars[-min(_RECENT, len(bars))].closes_at
    recent = [bar for bar in bars if bar.closes_at >= since]
    shown = [
        (call, outcome)
        for call, outcome in scored
        if isinstance(call, Forecast) and outcome is not None and call.as_of >= since
    ]
    held, times, sizes = 0.0, [bars[0].opens_at], [0.0]
    for fill in fills:
        times += [fill.at, fill.at]
        sizes += [held, held + fill.size]
        held += fill.size
    times.append(max(times[-1], bars[-1].closes_at))
    sizes.append(held)

    def draw(figure: "Figure", *, wide: bool) -> None:
        if wide:
            grid = figure.add_gridspec(2, 2, height_ratios=(3, 1), width_ratios=(1.25, 1))
            whole = figure.add_subplot(grid[0, 0])
            position, close_up = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[:, 1])
        else:
            whole, position, close_up = figure.subplots(3, 1, height_ratios=(2, 0.8, 2.4))
        whole.plot(*thin(*closes, _BUCKETS[wide]), color=COLOURS["ink"], linewidth=1.3)
        whole.tick_params(labelbottom=False)
        x, y = thin(_numbers(times), sizes, _BUCKETS[wide])
        position.fill_between(x, y, 0, color=COLOURS["student"], alpha=0.45, linewidth=0)
        position.set_xlim(whole.get_xlim())
        _draw_close_up(close_up, recent, shown, [fill for fill in fills if fill.at >= since])
        position.set_ylabel("units", fontsize=9)
        for axes in (whole, position, close_up):
            _plain(axes)
            axes.locator_params(axis="y", nbins=2 if axes is position else 4)
            _compact(axes)
        _dated(position, wide=False)
        _dated(close_up, wide=False)
        _set_margins(figure, left=62, across=0.14, down=0.12 if wide else 0.28)

    hits = sum(bool(is_hit(call, outcome)) for call, outcome in shown)
    return _draw(
        f"price {symbol}",
        draw,
        f"{symbol}: {len(bars):,} closes, the last {recent[-1].close:,.6g}; of the last "
        f"{len(shown)} forecasts {hits} were right; {len(fills):,} fills.",
        height=(3.7, 6.0),
    )


def _draw_close_up(
    axes: "Axes", bars: Sequence[Bar], shown: Sequence[tuple[Forecast, Outcome]], fills: Sequence[Fill]
) -> None:
    axes.plot(
        _numbers([bar.closes_at for bar in bars]),
        [bar.close for bar in bars],
        color=COLOURS["ink"],
        linewidth=1.1,
    )
    for direction, marker in ((Direction.UP, "^"), (Direction.DOWN, "v")):
        for right, colour in ((True, "good"), (False, "bad")):
            points = [
                (outcome.known_at, call.close)
                for call, outcome in shown
                if call.direction is direction and bool(is_hit(call, outcome)) is right
            ]
            axes.plot(
                _numbers([at for at, _ in points]),
                [close for _, close in points],
                linestyle="none",
                marker=marker,
                markersize=6,
                color=COLOURS[colour],
                markerfacecolor=COLOURS[colour] if right else "none",
            )
    for bought, marker, colour in ((True, "+", "student"), (False, "x", "hold")):
        side = [fill for fill in fills if (fill.size > 0) is bought]
        axes.plot(
            _numbers([fill.at for fill in side]),
            [fill.price for fill in side],
            linestyle="none",
            marker=marker,
            markersize=5,
            markeredgewidth=1.3,
            color=COLOURS[colour],
        )
