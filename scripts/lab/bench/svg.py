# SPDX-License-Identifier: BSD-3-Clause
"""Plots as SVG: panels side by side, bars or lines over categories, whiskers from least to most."""
import dataclasses
import math
from xml.sax.saxutils import escape

INK, SOFT, GRID, PAPER = "#2b3238", "#6b747c", "#e4e7ea", "#fdfdfb"
COLOURS = ("#1f6f8b", "#a3abb2", "#d08c3f", "#7a9e65", "#8d6a9f")
FONT = "font-family='Helvetica, Arial, sans-serif'"

PANEL_WIDTH, PANEL_HEIGHT = 400, 230
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 84, 50


@dataclasses.dataclass
class Panel:
    title: str
    x_label: str
    y_label: str
    labels: list  # of the categories
    series: dict  # name: [(value, least, most) or None, one for each category]


def _ticks(most, count=5):
    """Round numbers from 0 to beyond most."""
    if most <= 0:
        return [0, 1]
    magnitude = 10 ** math.floor(math.log10(most / count))
    step = next(f * magnitude for f in (1, 2, 2.5, 5, 10) if f * magnitude * count >= most)
    return [i * step for i in range(math.ceil(most / step - 1e-9) + 1)]


def _text(x, y, text, size=12, fill=INK, anchor="middle", more=""):
    return (f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{fill}' "
            f"text-anchor='{anchor}' {more}>{escape(text)}</text>")


def _line(x1, y1, x2, y2, colour, width=1.0):
    return (f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' "
            f"stroke-width='{width}'/>")


def _whisker(x, y_least, y_most):
    if abs(y_least - y_most) < 0.5:
        return []
    return [_line(x, y_least, x, y_most, INK)] + [
        _line(x - 3, y, x + 3, y, INK) for y in (y_least, y_most)]


def _bars(panel, x_of, y_of, width, colours):
    drawn = [name for name, values in panel.series.items() if any(values)]
    bar = min(30.0, width * 0.8 / max(1, len(drawn)))
    for place, name in enumerate(drawn):
        for i, value in enumerate(panel.series[name]):
            if value is None:
                continue
            x, y = x_of(i) + (place - len(drawn) / 2) * bar, y_of(value[0])
            yield (f"<rect x='{x + 1:.1f}' y='{y:.1f}' width='{bar - 2:.1f}' "
                   f"height='{y_of(0) - y:.1f}' fill='{colours[name]}'/>")
            yield from _whisker(x + bar / 2, y_of(value[1]), y_of(value[2]))


def _lines(panel, x_of, y_of, _width, colours):
    for name, values in panel.series.items():
        points = [(x_of(i), y_of(v[0]), v) for i, v in enumerate(values) if v is not None]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        yield (f"<polyline points='{path}' fill='none' stroke='{colours[name]}' "
               "stroke-width='2'/>")
        for x, y, value in points:
            yield from _whisker(x, y_of(value[1]), y_of(value[2]))
            yield f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3.5' fill='{colours[name]}'/>"


def _panel(panel, left, ticks, colours, draw):
    height, width = PANEL_HEIGHT, PANEL_WIDTH - LEFT - RIGHT
    slot = width / len(panel.labels)

    def x_of(i):
        return left + LEFT + (i + 0.5) * slot

    def y_of(value):
        return TOP + height * (1 - value / ticks[-1])

    yield _text(left + LEFT + width / 2, TOP - 12, panel.title, 13)
    for tick in ticks:
        yield _line(left + LEFT, y_of(tick), left + LEFT + width, y_of(tick), GRID)
        yield _text(left + LEFT - 6, y_of(tick) + 4, f"{tick:,g}", 11, SOFT, "end")
    yield from draw(panel, x_of, y_of, slot, colours)
    yield _line(left + LEFT, y_of(0), left + LEFT + width, y_of(0), SOFT)
    for i, label in enumerate(panel.labels):
        yield _text(x_of(i), TOP + height + 17, label, 11)
    yield _text(left + LEFT + width / 2, TOP + height + 38, panel.x_label, 12, SOFT)
    middle = TOP + height / 2
    yield _text(left + 14, middle, panel.y_label, 12, SOFT,
                more=f"transform='rotate(-90 {left + 14} {middle:.1f})'")


def _most(panels):
    return max((v[2] for p in panels for values in p.series.values() for v in values
                if v is not None), default=0)


def chart(title, panels, lines=False, same_scale=False):
    """The text of an SVG file. A series has one colour in all charts that list the same."""
    colours = dict(zip(panels[0].series, COLOURS))
    names = [name for name in colours if any(any(p.series[name]) for p in panels)]
    width, height = PANEL_WIDTH * len(panels), TOP + PANEL_HEIGHT + BOTTOM
    out = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
           f"viewBox='0 0 {width} {height}' {FONT} role='img'>",
           f"<title>{escape(title)}</title>",
           f"<rect width='{width}' height='{height}' fill='{PAPER}'/>",
           _text(16, 26, title, 15, anchor="start", more="font-weight='bold'")]
    x = 16.0
    for name in names:
        out.append(f"<rect x='{x:.1f}' y='39' width='12' height='12' fill='{colours[name]}'/>")
        out.append(_text(x + 18, 49, name, 12, anchor="start"))
        x += 18 + 7 * len(name) + 20
    for i, panel in enumerate(panels):
        ticks = _ticks(_most(panels if same_scale else [panel]))
        out += _panel(panel, i * PANEL_WIDTH, ticks, colours, _lines if lines else _bars)
    return "\n".join(out) + "\n</svg>\n"
