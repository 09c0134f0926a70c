# SPDX-License-Identifier: Apache-2.0
"""netproxy-agent carries a guest's interface over a connection to the API, as it does by vsock in a VM."""

from bed import process, traffic, wait
from bed.cases import STREAM, case
from bed.guest import IFNAME
from bed.proxy import GATEWAY

LINKS_MAX = 4
MAC = "52:54:00:00:65:02"


def start(t):
    """netproxy with a vsock device, whose unix socket for the API stands for the guest's vsock."""
    path = f"{t.directory}/vsock.sock"
    t.start("--vsock", path)
    return f"unix:{path}_6565"


def tap(t, way, name=IFNAME, *args):
    made = process.Process([f"{t.settings.bin}/netproxy-agent", "tap", "--api", way, "--ifname", name, *args],
                           f"{t.directory}/{name}.log", t.guest.ns)
    t.cleanup.callback(made.kill)
    return made


def attached(t):
    return [one["link"] for one in t.proxy.get("/v1/ports") if "connect" in one["link"]]


@case(links=STREAM, start=False, attach=False)
def test_traffic(t):
    """DHCP, and data both ways; the MAC and the MTU are as asked for."""
    one = tap(t, start(t), IFNAME, "--mac", MAC, "--mtu", "1400")
    one.wait_output("is connected")
    wait.until(lambda: attached(t), "the link")
    shown = t.guest.ns.ip("link", "show", "dev", IFNAME)
    assert MAC in shown and "mtu 1400" in shown, shown
    t.guest.dhcp()
    assert t.guest.ping(GATEWAY)
    ours, far = t.pair()
    traffic.one_way(ours, far, t.size(16 << 20))
    traffic.one_way(far, ours, t.size(16 << 20))
    assert one.stop() == 0
    wait.until(lambda: not attached(t), "the link to go")
    assert IFNAME not in t.guest.ns.ip("-o", "link")


@case(links=STREAM, start=False, attach=False)
def test_netproxy_restarts(t):
    """The interface stays, without its carrier until netproxy is back."""
    way = start(t)
    one = tap(t, way)
    one.wait_output("is connected")
    t.guest.dhcp()
    t.proxy.finish()
    one.wait_output("trying again")
    wait.until(lambda: "NO-CARRIER" in t.guest.ns.ip("link", "show", "dev", IFNAME), "the carrier to go")
    start(t)
    wait.until(lambda: "LOWER_UP" in t.guest.ns.ip("link", "show", "dev", IFNAME), "the carrier to return")
    assert t.guest.ping(GATEWAY)
    assert one.output().count("trying again") == 1, one.output()


@case(links=STREAM, start=False, attach=False)
def test_bounded(t):
    """A guest's door takes so many links; the next one is refused, and has its place once another goes."""
    way = start(t)
    taps = [tap(t, way, f"tap{i}") for i in range(LINKS_MAX)]
    wait.until(lambda: len(attached(t)) == LINKS_MAX, "the links")
    more = tap(t, way, "tap9")
    more.wait_output("refuses")
    assert len(attached(t)) == LINKS_MAX
    taps[0].stop()
    wait.until(lambda: len(attached(t)) == LINKS_MAX, "the next link", timeout=20)


@case(links=STREAM)
def test_not_inside(t):
    """From inside the network there are no further links."""
    with t.guest.ns.connect(GATEWAY, 80) as sock:
        sock.sendall(b"POST /connect HTTP/1.1\r\nHost: 192.168.65.1\r\n\r\n")
        answer = sock.recv(4096)
    assert answer.startswith(b"HTTP/1.1 403 "), answer
