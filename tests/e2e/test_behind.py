# SPDX-License-Identifier: Apache-2.0
"""Published addresses behind a guest: a container in a namespace of its own, which the guest routes for."""

import socket

from bed import netns, process, traffic, wait, world
from bed.cases import MAIN, MIB, STREAM, case
from bed.proxy import FIRST_GUEST, GATEWAY, GATEWAY6
from test_publish_api import FORWARDS, add, client
from test_udp import exchange

CONTAINER, CONTAINER6 = "10.88.0.5", "fd99::5"
BRIDGE, BRIDGE6 = "10.88.0.1", "fd99::1"
VIA = f"via={FIRST_GUEST}"
PUBLISH = ["--publish", f"8080:{CONTAINER}:80,{VIA}", "--publish", f"8086:[{CONTAINER6}]:80,{VIA}",
           "--publish", f"5353:{CONTAINER}:53/udp,{VIA}", "--publish", f"5356:[{CONTAINER6}]:53/udp,{VIA}"]
# Namespace, address and port of the published side, and as whom the container sees the client.
CLIENTS = (("world", world.HOST_ADDRESS, 8080, world.ADDRESS), ("host", "127.0.0.1", 8080, GATEWAY),
           ("world", world.HOST_ADDRESS6, 8086, world.ADDRESS6), ("host", "::1", 8086, GATEWAY6))


def container(t, guest=None):
    """A container behind a bridge in the guest, as container engines make them; no address is translated."""
    guest = guest or t.guest
    guest.configure6()
    made = netns.Namespace(f"container{guest.number}")
    t.cleanup.callback(made.remove)
    guest.ns.ip("link", "add", "br0", "type", "bridge")
    guest.ns.ip("link", "add", "veth0", "master", "br0", "type", "veth", "peer", "eth0", "netns", made.name)
    for address in (BRIDGE + "/16", BRIDGE6 + "/64"):
        guest.ns.ip("addr", "add", address, "dev", "br0", *(("nodad",) if ":" in address else ()))
    guest.ns.sysctl(ipv4__ip_forward=1, ipv6__conf__all__forwarding=1)
    made.ip("addr", "add", CONTAINER + "/16", "dev", "eth0")
    made.ip("-6", "addr", "add", CONTAINER6 + "/64", "dev", "eth0", "nodad")
    for namespace, link in ((guest.ns, "veth0"), (guest.ns, "br0"), (made, "eth0")):
        namespace.ip("link", "set", link, "up")
    made.ip("route", "add", "default", "via", BRIDGE)
    made.ip("-6", "route", "add", "default", "via", BRIDGE6)
    for router in (BRIDGE, BRIDGE6):
        wait.until(lambda router=router: made.run("ping", "-n", "-c", "1", "-W", "1", router,
                                                  check=False).returncode == 0,
                   f"the guest to answer the container at {router}")
    return made


def connect(t, server, namespace, address, port, source=None):
    """A connection through a published port; (client's end, container's end)."""
    with server.listen("::", 80) as listener:
        made = namespace.connect(address, port, source)
        return t.keep(made, traffic.accept(listener))


@case(links=MAIN, args=PUBLISH)
def test_tcp(t):
    """Clients of the world are seen as themselves, those of the host as the gateway; data comes through both ways."""
    server = container(t)
    for where, address, port, as_whom in CLIENTS:
        near, far = connect(t, server, getattr(t, where), address, port)
        seen = far.getpeername()[0].removeprefix("::ffff:")
        assert seen == as_whom, f"{where} at {address}: seen as {seen}, not {as_whom}"
        traffic.one_way(near, far, MIB)
        traffic.one_way(far, near, MIB)


@case(links=MAIN, args=PUBLISH, timeout=120)
def test_bulk(t):
    server = container(t)
    size = t.size(64 * MIB)
    for port in (8080, 8086):
        near, far = connect(t, server, t.host, "::1", port)
        traffic.finish(traffic.recv(far, 1, size), traffic.recv(near, 2, size),
                       traffic.send(near, 1, size), traffic.send(far, 2, size))


@case(links=MAIN, args=PUBLISH)
def test_curl(t):
    server = container(t)
    with open(f"{t.directory}/page", "w") as file:
        file.write("from a container\n")
    httpd = process.Process(["busybox", "httpd", "-f", "-p", "80", "-h", t.directory], f"{t.directory}/httpd.log",
                            server)
    t.cleanup.callback(httpd.kill)
    wait.until(lambda: ":80 " in server.run("ss", "-Hltn").stdout, "the web server to listen")
    for where, address, port, _ in CLIENTS:
        host = f"[{address}]" if ":" in address else address
        got = getattr(t, where).run("curl", "-sS", "-m", "10", "-g", f"http://{host}:{port}/page").stdout
        assert got == "from a container\n", (where, address, got)


@case(links=MAIN, args=PUBLISH)
def test_udp(t):
    """Datagrams, also such as the container has to cut into fragments, find their client."""
    server = container(t)
    echo = t.serve(traffic.UdpEcho(server.udp("0.0.0.0", 53), server.udp(CONTAINER6, 53)))
    expected = []
    for where, address, port, as_whom in CLIENTS:
        port += 5353 - 8080 if port == 8080 else 5356 - 8086
        sock = t.keep(getattr(t, where).udp("::" if ":" in address else "0.0.0.0"))
        for size in (10, 1400, 5000):
            data = bytes([size % 251]) * size
            got, source = exchange(sock, (address, port), data)
            assert got == data and source[:2] == (address, port), (where, address, size, len(got), source)
        expected.append(as_whom)
    assert [source[0] for source in echo.seen] == expected, echo.seen


@case(links=STREAM, args=PUBLISH)
def test_narrow(t):
    """A smaller MTU behind the guest: it says so, and our segments get smaller."""
    server = container(t)
    for link in ("veth0", "br0"):
        t.guest.ns.ip("link", "set", link, "mtu", "1300")
    for port in (8080, 8086):
        near, far = connect(t, server, t.host, "::1", port)
        traffic.one_way(near, far, t.size(16 * MIB))


@case(links=MAIN, args=PUBLISH)
def test_nobody_there(t):
    """A closed port is refused at once; of a container that has gone its router says so, as soon as it knows."""
    server = container(t)
    for port in (8080, 8086):
        took = traffic.failed_connect(t.host, port)
        assert took < 1 * wait.slowness, f"refused after {took:.1f} s"
    near, far = connect(t, server, t.host, "127.0.0.1", 8080)
    server.ip("link", "set", "eth0", "down")
    t.guest.ns.ip("neigh", "flush", "dev", "br0")
    t.guest.ns.sysctl(ipv4__neigh__br0__retrans_time_ms=200, ipv6__neigh__br0__retrans_time_ms=200)
    for port in (8080, 8086):
        took = traffic.failed_connect(t.host, port)
        assert took < 6 * wait.slowness, f"unreachable after {took:.1f} s"
    # What is open lives on, and so does netproxy.
    server.ip("link", "set", "eth0", "up")
    server.ip("route", "replace", "default", "via", BRIDGE)
    traffic.one_way(near, far, 1000)


@case(links=("stream", "vhost"), guests=2)
def test_same_address_twice(t):
    """Two guests have the same container network; the same client speaks to both containers at once."""
    servers = [container(t, guest) for guest in t.guests]
    for number, guest in enumerate(t.guests):
        for protocol in ("tcp", "udp"):
            add(t, {"local": f":{8080 + number}", "remote": f"{CONTAINER}:80", "protocol": protocol,
                    "via": guest.address})
    ends = []
    for number, server in enumerate(servers):
        near = t.keep(t.world.socket())
        near.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        near.bind((world.ADDRESS, 4444))
        with server.listen("0.0.0.0", 80) as listener:
            near.connect((world.HOST_ADDRESS, 8080 + number))
            ends.append((near, t.keep(traffic.accept(listener))))
    for near, far in ends:
        traffic.one_way(near, far, MIB)
        traffic.one_way(far, near, MIB)
    sock = t.keep(t.world.udp(world.ADDRESS, 4444))
    for number, server in enumerate(servers):
        t.serve(traffic.UdpEcho(server.udp(CONTAINER, 80)))
        data = b"to %d" % number
        assert exchange(sock, (world.HOST_ADDRESS, 8080 + number), data)[0] == data


@case(links=STREAM, dhcp=False)
def test_by_name(t):
    """The guest that it is behind, by its name, from the API and netproxyctl, which list it."""
    t.guest.dhcp("-x", "hostname:box")
    server = container(t)
    made = add(t, {"local": "127.0.0.1:8080", "remote": f"{CONTAINER}:80", "via": "box"})
    assert (made[0]["remote"], made[0]["via"]) == (f"{CONTAINER}:80", "box"), made
    ctl = [f"{t.settings.bin}/netproxyctl", "--api", t.proxy.api]
    said = t.host.run(*ctl, "expose", "8086", f"[{CONTAINER6}]:80", "--via", "box").stdout
    assert said == f"published :8086 -> [{CONTAINER6}]:80 via box (tcp)\n", said
    listed = t.host.run(*ctl, "ports").stdout
    assert f"{CONTAINER}:80 via box" in listed, listed
    for port in (8080, 8086):
        near, far = connect(t, server, t.host, "127.0.0.1", port)
        traffic.one_way(near, far, 1000)


@case(links=STREAM, start=False)
def test_guests_own_door(t):
    """A guest says an address that isn't of the network, and means behind itself; never behind another."""
    vsock = f"{t.directory}/vsock"
    t.start("--vsock", vsock)
    server = container(t)
    guest = client(t, vsock + "_6565")
    status, made = guest.ask("POST", FORWARDS, {"local": "127.0.0.1:8080", "remote": f"{CONTAINER}:80"})
    assert status == 200 and made[0]["via"] == FIRST_GUEST, made
    near, far = connect(t, server, t.host, "127.0.0.1", 8080)
    traffic.one_way(near, far, 1000)
    for body, expected in (({"remote": f"{CONTAINER}:80", "via": "192.168.65.7"}, 403),
                           ({"remote": f"{CONTAINER}:80", "via": "box"}, 403),
                           ({"remote": "192.168.65.7:80"}, 403), ({"remote": "192.168.65.1:80"}, 403),
                           ({"remote": "127.0.0.1:80"}, 403), ({"remote": "[fe80::1]:80"}, 403),
                           ({"remote": "224.0.0.1:80"}, 403), ({"remote": "169.254.169.254:80"}, 403)):
        status, answer = guest.ask("POST", FORWARDS, {"local": "127.0.0.1:8081", **body})
        assert status == expected, (body, status, answer)
    # The host must say whom it means.
    status, answer = client(t).ask("POST", FORWARDS, {"local": "127.0.0.1:8081", "remote": f"{CONTAINER}:80"})
    assert status == 400 and "via" in answer["error"]["message"], answer
    for body in ({"remote": f"{FIRST_GUEST}:80", "via": FIRST_GUEST}, {"remote": f"{CONTAINER}:80", "via": "8.8.8.8"},
                 {"remote": "127.0.0.1:80", "via": FIRST_GUEST}):
        status, answer = client(t).ask("POST", FORWARDS, {"local": "127.0.0.1:8081", **body})
        assert status == 400, (body, status, answer)
