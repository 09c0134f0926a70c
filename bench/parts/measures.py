# SPDX-License-Identifier: Apache-2.0
"""How it is measured. Each measure takes a running subject and yields (metric, value) as it goes."""

import contextlib
import json
import os
import statistics
import subprocess

from bed import process, wait

from . import subjects, tree

PORT, IPERF_PORT = subjects.TCP_PORTS
IDLE_CONNECTIONS = 10000
CONCURRENT = 16
TURNS = 5
PACED = 20000  # datagrams a second, which everybody should manage
UDP_SIZES = (64, 1400)


class Failed(Exception):
    """A measurement that gave no figure."""


def tcp(subject, settings):
    """Throughput by iperf3, and what it cost the proxy."""
    for streams in (1, 4):
        suffix = f"_{streams}" if streams > 1 else ""
        for way in ("up", "down"):
            yield from _iperf(subject, settings, f"tcp_{way}{suffix}", way, streams)


def tcp6(subject, settings):
    """The same over IPv6, of those who have it here."""
    if not subject.target6:
        return
    subject.configure6()
    for way in ("up", "down"):
        yield from _iperf(subject, settings, f"tcp6_{way}", way, 1, subject.target6)


def rr(subject, settings):
    """Round trips of one byte on one connection."""
    result = _tool(subject, settings, "rr", settings.seconds)
    yield "rr_p50_us", result["p50_us"]
    yield "rr_p99_us", result["p99_us"]


def crr(subject, settings):
    """Connect, one byte there and back, closed by the server; one at a time, and many."""
    for metric, concurrent in (("crr", 1), ("crr_many", CONCURRENT)):
        result = _tool(subject, settings, "crr", settings.seconds, concurrent)
        yield f"{metric}_per_s", result["per_second"]
        yield f"{metric}_failed", result["failed"]
    # Nothing of it is to be left when the next thing is measured.
    wait.until_still(lambda: len(_sockets(subject)), 0.3, 10, "connections to close")


def udp(subject, settings):
    """Datagrams flat out and at a moderate rate, and how many got lost."""
    if not subject.carries_udp:
        return
    for size in UDP_SIZES:
        for way in ("up", "down"):
            for name, rate in (("", 0), ("_paced", PACED)):
                result = _tool(subject, settings, f"udp-{way}", settings.seconds / 2, size, rate)
                yield f"udp_{way}_{size}{name}_per_s", result["per_second"]
                yield f"udp_{way}_{size}{name}_lost_percent", result["lost_percent"]


def idle(subject, settings):
    """A network without traffic."""
    if not subject.pid():
        return
    yield "rss_mib", tree.rss_kib(subject.pid()) / 1024
    before = tree.wakeups(subject.pid())
    seconds = max(settings.seconds, 2)
    _sleep(seconds)
    yield "wakeups_per_s", (tree.wakeups(subject.pid()) - before) / seconds


def many(subject, settings):
    """Many idle connections: what they take up, and what they do to a busy one."""
    rss = tree.rss_kib(subject.pid()) if subject.pid() else 0
    fds = tree.fd_count(subject.pid()) if subject.pid() else 0
    holders = []
    try:
        # In two halves: what the second adds is what connections take up, without what it takes to have any.
        results = [_hold(subject, settings, holders)]
        half = tree.rss_kib(subject.pid()) if subject.pid() else 0
        results.append(_hold(subject, settings, holders))
        held = sum(result["held"] for result in results)
        yield "many_held", held
        yield "many_held_per_s", held / sum(result["seconds"] for result in results)
        if subject.pid():
            now = tree.rss_kib(subject.pid())
            yield "many_rss_mib", (now - rss) / 1024
            yield "many_bytes_each", (now - half) * 1024 / max(results[1]["held"], 1)
        if held < IDLE_CONNECTIONS:
            raise Failed(f"only {held} of {IDLE_CONNECTIONS} connections could be made")
        yield from _busy_one(subject, settings)
    finally:
        for holder in holders:
            holder.kill()
    if subject.pid():
        yield "many_fds_left", wait.until_still(lambda: tree.fd_count(subject.pid()), 1, 10) - fds
        # Some give memory back a while later.
        left = wait.until_still(lambda: tree.rss_kib(subject.pid()), 7, 30)
        yield "many_rss_left_mib", (left - rss) / 1024


def _busy_one(subject, settings):
    """A busy connection beside the idle ones; where another process can run beside this one, compared with a busy one of
    that, which has none, in turns: what happens to the machine meanwhile happens to both."""
    twin = subject.twin()
    measured = (("tcp_up_gbps", lambda one: _gbps(one, settings, "up")),
                ("tcp_down_gbps", lambda one: _gbps(one, settings, "down")),
                ("rr_p50_us", lambda one: _tool(one, settings, "rr", settings.seconds)["p50_us"]))
    try:
        if twin:
            twin.begin(settings, subject.environment, f"{subject.directory}/twin")
        for name, measure in measured:
            beside, without = _in_turns(measure, subject, twin)
            yield f"many_{name}", statistics.median(beside)
            if twin:
                ratios = [one / other for one, other in zip(beside, without)]
                yield f"many_{name}_ratio", statistics.median(ratios)
                yield f"many_{name}_ratio_low", min(ratios)
                yield f"many_{name}_ratio_high", max(ratios)
    finally:
        if twin:
            twin.stop()


def _in_turns(measure, subject, twin):
    """The values of both, round by round, each first in every other one."""
    values = {subject: [], twin: []}
    for number in range(TURNS if twin else 1):
        for one in (subject, twin) if number % 2 else (twin, subject):
            if one:
                values[one].append(measure(one))
    return values[subject], values[twin]


def _gbps(subject, settings, way):
    return dict(_iperf(subject, settings, "busy", way, 1))["busy_gbps"]


def _hold(subject, settings, holders):
    """Opens half of the idle connections; returns what became of it."""
    log = f"{subject.directory}/hold{len(holders)}.log"
    holders.append(process.Process([f"{settings.bin}/benchtool", "hold", subject.target,
                                    str(PORT + subject.port_offset),
                                    str(IDLE_CONNECTIONS // 2)], log, subject.client))
    holders[-1].wait_output("}\n", timeout=60)
    return json.loads(holders[-1].output())


# In this order: the memory of a network without traffic is looked at first.
MEASURES = {"idle": idle, "tcp": tcp, "rr": rr, "crr": crr, "udp": udp, "tcp6": tcp6, "many": many}
# Measured on a process of their own: what it took up before would hide what it takes up now, and not everybody
# works on after it.
APART = ("many",)


def _sleep(seconds):
    subprocess.run(["sleep", str(seconds)], check=True)


def _sockets(subject):
    return subject.client.run("ss", "-Htn").stdout.splitlines()


def _tool(subject, settings, verb, *arguments):
    argv = [f"{settings.bin}/benchtool", verb, subject.target, str(PORT + subject.port_offset),
            *map(str, arguments)]
    return json.loads(_run(subject, argv, 20 + 4 * settings.seconds))


def _run(subject, argv, timeout):
    try:
        done = subject.client.run(*argv, check=False, timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed("no end within its time") from None
    if done.returncode:
        text = done.stderr.strip() or done.stdout.strip()[-200:]
        raise Failed(text or f"{argv[0]} exited with {done.returncode}")
    return done.stdout


def _iperf(subject, settings, metric, way, streams, target=None):
    log = f"{subject.directory}/{metric}.log"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(log)  # an earlier server says there that it listens
    server = process.Process(["iperf3", "-s", "-1", "-p", str(IPERF_PORT), "--forceflush"], log, subject.host)
    try:
        server.wait_output("Server listening")
        pid = subject.pid()
        bridge = subject.guest.bridge.pid if subject.guest and subject.guest.bridge else None
        before = [tree.cpu_seconds(each) if each else 0 for each in (pid, bridge)]
        argv = ["iperf3", "-J", "-C", "cubic", "-c", target or subject.target,
                "-p", str(IPERF_PORT + subject.port_offset), "-t",
                str(settings.seconds), "-P", str(streams), *(["-R"] if way == "down" else [])]
        result = json.loads(_run(subject, argv, 10 + 4 * settings.seconds))
    finally:
        server.kill()
    if "error" in result:
        raise Failed(result["error"])
    received = result["end"]["sum_received"]
    yield f"{metric}_gbps", received["bits_per_second"] / 1e9
    gigabytes = received["bytes"] / 1e9
    for name, each, start in (("cpu", pid, before[0]), ("bridge_cpu", bridge, before[1])):
        if each and gigabytes > 0:
            yield f"{metric}_{name}_s_per_gb", (tree.cpu_seconds(each) - start) / gigabytes
