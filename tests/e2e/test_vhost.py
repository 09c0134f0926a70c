# SPDX-License-Identifier: Apache-2.0
"""What only vhost-user links have: a driver that takes its rings and its memory back."""

import signal

from bed import traffic, wait
from bed.cases import MIB, VHOST, case


def reload_driver(t):
    """The guest's driver stops the device, overwrites its memory and starts the device again."""
    before = t.proxy.log().count("queue 1 runs")
    t.guest.bridge.send_signal(signal.SIGUSR1)
    wait.until(lambda: t.proxy.log().count("queue 1 runs") > before, "the rings to run again")


@case(links=VHOST)
def test_reload_with_data_held(t):
    """What netproxy has acknowledged but not passed on survives the memory in which it lay."""
    size = 32 * MIB
    client, far = t.pair()
    sender = traffic.send(client, 1, size)
    wait.until_still(lambda: t.guest.ns.run("ss", "-tn").stdout, 0.5, what="the connection to fill up")
    reload_driver(t)
    traffic.finish(traffic.recv(far, 1, size), sender)


@case(links=VHOST)
def test_reload_in_transfer(t):
    client, far = t.pair()
    size = t.size(256 * MIB)
    transfers = [traffic.recv(far, 1, size), traffic.recv(client, 2, size),
                 traffic.send(client, 1, size), traffic.send(far, 2, size)]
    for _ in range(10):
        reload_driver(t)
    traffic.finish(*transfers)


@case(links=("vhost",))
def test_idle_neighbour_of_a_stuck_connection(t):
    """Connections whose bytes nobody takes hold descriptors; the others go on at full speed."""
    stuck = []
    for seed in range(8):
        client, far = t.pair()
        stuck.append(traffic.send(client, seed, 64 * MIB))
        t.keep(far)
    wait.until_still(lambda: t.guest.ns.run("ss", "-tn").stdout, 0.5, what="the connections to fill up")
    client, far = t.pair()
    traffic.one_way(client, far, t.size(256 * MIB), seed=42)
    for one in stuck:
        one.kill()


@case(links=("vhost",))
def test_other_driver(t):
    """The next driver negotiates less (a firmware's), and the next one more again: each gets a link that fits."""
    for link in ("vhost-none", "vhost", "vhost-mrg_rxbuf", "vhost"):
        t.guest.detach()
        t.guest.link = link
        t.guest.attach()
        t.guest.dhcp()
        client, far = t.pair()
        traffic.one_way(client, far, 8 * MIB)
        client, far = t.pair()
        traffic.one_way(far, client, 8 * MIB)
