# SPDX-License-Identifier: Apache-2.0
"""A bar chart of the medians, as SVG."""

from xml.sax.saxutils import escape

from . import report

PANELS = [
    ("TCP up, Gbit/s", "tcp_up_gbps"), ("TCP down, Gbit/s", "tcp_down_gbps"),
    ("TCP up, 4 streams, Gbit/s", "tcp_up_4_gbps"),
    ("TCP down, 4 streams, Gbit/s", "tcp_down_4_gbps"),
    ("CPU up, s per GB (less is better)", "tcp_up_cpu_s_per_gb"),
    ("CPU down, s per GB (less is better)", "tcp_down_cpu_s_per_gb"),
    ("Round trip, median, µs (less is better)", "rr_p50_us"),
    ("Connect, ask, close, a second", "crr_per_s"),
    ("UDP up, 64 bytes, datagrams a second", "udp_up_64_per_s"),
    ("UDP down, 64 bytes, datagrams a second", "udp_down_64_per_s"),
]
COLOURS = {"host": "#4d4d4d", "netproxy": "#1f6fb4"}
PEER_COLOUR = "#b9a27c"
PANEL_WIDTH, LABEL_WIDTH, VALUE_WIDTH = 560, 170, 70
BAR, GAP, TITLE, MARGIN = 14, 4, 34, 16


def svg(subjects):
    middle = report.medians(subjects)
    panels = [(title, [(name, middle[name][metric]) for name in subjects if metric in middle[name]])
              for title, metric in PANELS]
    panels = [panel for panel in panels if panel[1]]
    height = TITLE + MARGIN + max((len(bars) for _, bars in panels), default=0) * (BAR + GAP)
    rows = (len(panels) + 1) // 2
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * PANEL_WIDTH}" '
             f'height="{rows * height + MARGIN}" font-family="sans-serif" font-size="11">',
             '<rect width="100%" height="100%" fill="#ffffff"/>']
    for number, (title, bars) in enumerate(panels):
        x, y = number % 2 * PANEL_WIDTH, number // 2 * height
        parts.append(_panel(x, y, title, bars, subjects))
    return "\n".join([*parts, "</svg>", ""])


def _panel(x, y, title, bars, subjects):
    most = max(value for _, value in bars) or 1
    room = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
    parts = [f'<g transform="translate({x},{y})">',
             f'<text x="{LABEL_WIDTH}" y="{TITLE - 10}" font-weight="bold">{escape(title)}</text>']
    for number, (name, value) in enumerate(bars):
        top = TITLE + number * (BAR + GAP)
        width = max(value / most * room, 1)
        colour = COLOURS.get(subjects[name]["family"], PEER_COLOUR)
        parts += [f'<text x="{LABEL_WIDTH - 6}" y="{top + BAR - 3}" text-anchor="end">{escape(name)}</text>',
                  f'<rect x="{LABEL_WIDTH}" y="{top}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>',
                  f'<text x="{LABEL_WIDTH + width + 5:.1f}" y="{top + BAR - 3}">{_number(value)}</text>']
    return "\n".join([*parts, "</g>"])


def _number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
