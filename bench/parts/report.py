# SPDX-License-Identifier: Apache-2.0
"""Medians, ratios and tables."""

import statistics

# (metric, heading, decimals, more is better)
TABLES = [
    ("TCP throughput, Gbit/s", [
        ("tcp_up_gbps", "up", 2, True), ("tcp_down_gbps", "down", 2, True),
        ("tcp_up_4_gbps", "up ×4", 2, True), ("tcp_down_4_gbps", "down ×4", 2, True)]),
    ("TCP over IPv6: throughput, Gbit/s, and CPU time, s per GB", [
        ("tcp6_up_gbps", "up", 2, True), ("tcp6_down_gbps", "down", 2, True),
        ("tcp6_up_cpu_s_per_gb", "CPU up", 2, False),
        ("tcp6_down_cpu_s_per_gb", "CPU down", 2, False)]),
    ("CPU time of the proxy, s per GB", [
        ("tcp_up_cpu_s_per_gb", "up", 2, False), ("tcp_down_cpu_s_per_gb", "down", 2, False),
        ("tcp_up_4_cpu_s_per_gb", "up ×4", 2, False),
        ("tcp_down_4_cpu_s_per_gb", "down ×4", 2, False)]),
    ("Round trips (µs) and connections a second, one at a time and 16", [
        ("rr_p50_us", "p50", 1, False), ("rr_p99_us", "p99", 1, False),
        ("crr_per_s", "conn/s", 0, True), ("crr_many_per_s", "conn/s ×16", 0, True)]),
    ("UDP flat out, datagrams delivered a second", [
        ("udp_up_64_per_s", "64 up", 0, True), ("udp_down_64_per_s", "64 down", 0, True),
        ("udp_up_1400_per_s", "1400 up", 0, True), ("udp_down_1400_per_s", "1400 down", 0, True)]),
    ("UDP flat out, % lost", [
        ("udp_up_64_lost_percent", "64 up", 1, None),
        ("udp_down_64_lost_percent", "64 down", 1, None),
        ("udp_up_1400_lost_percent", "1400 up", 1, None),
        ("udp_down_1400_lost_percent", "1400 down", 1, None)]),
    ("UDP at 20,000 datagrams a second, % lost", [
        ("udp_up_64_paced_lost_percent", "64 up", 2, None),
        ("udp_down_64_paced_lost_percent", "64 down", 2, None),
        ("udp_up_1400_paced_lost_percent", "1400 up", 2, None),
        ("udp_down_1400_paced_lost_percent", "1400 down", 2, None)]),
    ("Idle: start to ready (ms), memory (MiB), wake-ups a second", [
        ("ready_ms", "ready", 1, None), ("rss_mib", "memory", 1, False),
        ("wakeups_per_s", "wake-ups", 1, None)]),
    ("With 10,000 idle connections: their memory (MiB), and a busy one beside them", [
        ("many_held", "held", 0, None), ("many_rss_mib", "memory", 1, False),
        ("many_bytes_each", "bytes each", 0, False),
        ("many_tcp_up_gbps", "up", 2, True), ("many_tcp_down_gbps", "down", 2, True),
        ("many_rr_p50_us", "p50", 1, False), ("many_fds_left", "fds left", 0, None),
        ("many_rss_left_mib", "memory left", 1, None)]),
    ("The busy one beside 10,000 idle ones / one of another process without, in turns (median, lowest, highest)", [
        (f"many_{metric}_ratio{part}", f"{name}{heading}", 2, None)
        for metric, name in (("tcp_up_gbps", "up"), ("tcp_down_gbps", "down"), ("rr_p50_us", "p50"))
        for part, heading in (("", ""), ("_low", " low"), ("_high", " high"))]),
]


def medians(subjects):
    """{name: {metric: median}} of the runs' values."""
    return {name: {metric: statistics.median(values) for metric, values in entry["runs"].items()}
            for name, entry in subjects.items()}


def best_peer(subjects, middle, name, metric, more_is_better):
    """The best value of a peer on the same kind of link at the same MTU; None when there is none."""
    own = subjects[name]
    values = [middle[other][metric] for other, entry in subjects.items()
              if entry["peer"] and entry["link"] == own["link"] and entry["mtu"] == own["mtu"] and
              metric in middle[other]]
    if not values:
        return None
    return max(values) if more_is_better else min(values)


def ratios(subjects, middle, name, metric, more_is_better):
    """(value / the host's loopback, value / the best peer); None for what there isn't."""
    value = middle[name].get(metric)
    found = []
    peer = None
    if not subjects[name]["peer"] and subjects[name]["link"] != "none":
        peer = best_peer(subjects, middle, name, metric, more_is_better)
    loopback = middle.get("host-loopback", {}).get(metric) if name != "host-loopback" else None
    for other in (loopback, peer):
        found.append(value / other if value is not None and other else None)
    return found


def _cell(subjects, middle, name, column):
    metric, _, decimals, more_is_better = column
    value = middle[name].get(metric)
    if value is None:
        return "–"
    text = f"{value:.{decimals}f}"
    if more_is_better is None:
        return text
    loopback, peer = ratios(subjects, middle, name, metric, more_is_better)
    notes = [f"{loopback:.2f}" if loopback else "", f"{peer:.2f}" if peer else ""]
    if peer:
        return f"{text} ({notes[0]}; {notes[1]})"
    return f"{text} ({notes[0]})" if loopback else text


def markdown(subjects):
    """All tables, as aligned Markdown."""
    middle = medians(subjects)
    parts = []
    for title, columns in TABLES:
        shown = [column for column in columns
                 if any(column[0] in values for values in middle.values())]
        if not shown:
            continue
        rows = [["", *(column[1] for column in shown)]]
        for name in subjects:
            cells = [_cell(subjects, middle, name, column) for column in shown]
            if any(cell != "–" for cell in cells):
                rows.append([name, *cells])
        parts.append(f"{title}\n\n{_aligned(rows)}\n")
    return "\n".join(parts)


def _aligned(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
             for row in rows]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
