# SPDX-License-Identifier: Apache-2.0
"""What is more than a question and an answer: events, packets, tunnels, guests that come by the API; and metrics."""

import contextlib
import json
import re
import select
import socket
import struct

from bed import traffic, wait, world
from bed.cases import MAIN, STREAM, case
from bed.proxy import FIRST_GUEST, GATEWAY

GUEST_MAC = "52:54:00:00:65:02"


@contextlib.contextmanager
def opened(t, method, path, early=b""):
    """A connection on which the request has been made."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10 * wait.slowness)
        sock.connect(t.proxy.api)
        sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: netproxy\r\n\r\n".encode() + early)
        yield sock


def read_head(sock):
    """(the head of a reply, what came behind it)"""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(4096)
        assert piece, f"the reply ended in its head: {data!r}"
        data += piece
    head, rest = data.split(b"\r\n\r\n", 1)
    return head.decode(), rest


def lines(sock):
    """The objects that come, one by one."""
    head, data = read_head(sock)
    assert head.startswith("HTTP/1.1 200 ") and "application/x-ndjson" in head, head
    while True:
        while b"\n" in data:
            line, data = data.split(b"\n", 1)
            yield json.loads(line)
        piece = sock.recv(65536)
        if not piece:
            return
        data += piece


def expect_event(events, type_, **fields):
    for event in events:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]), event
        if event["type"] == type_ and all(event.get(key) == value for key, value in fields.items()):
            return event
    raise AssertionError(f"no event {type_} {fields}")


# ---- Events ----

@case(links=STREAM, attach=False, args=("--deny", "tcp:10.77.0.2:81"))
def test_events(t):
    with opened(t, "GET", "/v1/events") as sock:
        events = lines(sock)
        expect_event(events, "subscribed")
        t.guest.attach()
        expect_event(events, "guest_attached", kind="stream")
        t.guest.dhcp()
        expect_event(events, "lease", change="granted", address=FIRST_GUEST, mac=GUEST_MAC)
        t.proxy.expose("127.0.0.1:9001", f"{FIRST_GUEST}:80")
        expect_event(events, "forward_added", local="127.0.0.1:9001", protocol="tcp", owner="host")
        t.proxy.unexpose("127.0.0.1:9001")
        expect_event(events, "forward_removed", local="127.0.0.1:9001")
        try:
            t.guest.ns.connect(world.ADDRESS, 81).close()
        except OSError:
            pass
        expect_event(events, "denied", protocol="tcp", to=f"{world.ADDRESS}:81", guest=FIRST_GUEST)
        t.guest.detach()
        expect_event(events, "guest_left")


@case()
def test_listener_that_does_not_read(t):
    """It is cut off, and others hear everything."""
    with opened(t, "GET", "/v1/events") as deaf, opened(t, "GET", "/v1/events") as sock:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        events = lines(sock)
        expect_event(events, "subscribed")

        def cut():
            for _ in range(50):
                t.proxy.expose("127.0.0.1:9001", f"{FIRST_GUEST}:80")
                t.proxy.unexpose("127.0.0.1:9001")
                while select.select([sock], [], [], 0)[0]:
                    assert sock.recv(65536), "the listener that reads was cut off"
            return metrics(t)["netproxy_event_listeners_cut_total"][""] == 1
        wait.until(cut, "the deaf listener to be cut off", 30)
        t.proxy.expose("127.0.0.1:9002", f"{FIRST_GUEST}:80")
        data = b""
        while b'"local":"127.0.0.1:9002"' not in data:
            data += sock.recv(65536)
        assert metrics(t)["netproxy_event_listeners"][""] == 1


@case()
def test_listeners_are_bounded(t):
    with contextlib.ExitStack() as stack:
        for _ in range(32):
            sock = stack.enter_context(opened(t, "GET", "/v1/events"))
            next(lines(sock))
        status, text = t.proxy.request("GET", "/v1/events")
        assert status == 503 and json.loads(text)["error"]["code"] == "too_many", (status, text)


# ---- Metrics ----

SAMPLE = re.compile(r'([a-z_]+)(\{[a-z_]+="(?:[^"\\]|\\.)*"(?:,[a-z_]+="(?:[^"\\]|\\.)*")*\})? ([0-9.]+)')


def metrics(t):
    """{name: {labels: value}}, every line checked against the text format 0.0.4."""
    status, text = t.proxy.request("GET", "/metrics")
    assert status == 200 and text.endswith("\n"), (status, text[-100:])
    found, kinds, helped = {}, {}, set()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in helped and len(line.split()) > 3, line
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name in helped and name not in kinds and kind in ("counter", "gauge"), line
            assert (kind == "counter") == name.endswith("_total"), line
            kinds[name] = kind
        else:
            match = SAMPLE.fullmatch(line)
            assert match and match[1] in kinds, f"not a sample: {line!r}"
            samples = found.setdefault(match[1], {})
            assert (match[2] or "") not in samples, f"twice: {line!r}"
            samples[match[2] or ""] = float(match[3])
    return found


@case(links=STREAM)
def test_metrics(t):
    client, far = t.pair()
    before = metrics(t)
    traffic.one_way(client, far, 1 << 20)
    after = metrics(t)
    key = '{direction="from_guest"}'
    grown = after["netproxy_payload_bytes_total"][key] - before["netproxy_payload_bytes_total"][key]
    assert grown == 1 << 20, grown
    assert after["netproxy_flows"]['{protocol="tcp"}'] == 1
    assert after["netproxy_leases"]['{family="ipv4"}'] == 1
    assert sum(after["netproxy_port_received_bytes_total"].values()) > 1 << 20
    assert after["netproxy_dhcp_messages_total"]['{family="ipv4",type="ack"}'] >= 1
    t.guest.ns.run("dig", "+tries=1", f"@{GATEWAY}", "gateway.internal")
    local = '{result="local"}'
    assert metrics(t)["netproxy_dns_results_total"][local] == after["netproxy_dns_results_total"][local] + 1
    local = f"{t.proxy.directory}/quote\"back\\slash.sock"
    t.proxy.post("/services/forwarder/expose", {"local": local, "remote": f"tcp://{FIRST_GUEST}:80", "protocol": "unix"})
    assert len(metrics(t)["netproxy_forward_connections"]) == 1


# ---- Who is there ----

@case(links=MAIN)
def test_guests_and_flows(t):
    one, = (guest for guest in t.proxy.get("/v1/guests") if guest["mac"] == GUEST_MAC)
    assert one["attached"] and FIRST_GUEST in one["addresses"] and one["port"] == 1, one
    client, far = t.pair()
    flows = t.proxy.get("/v1/flows")
    assert not flows["truncated"]
    one, = (flow for flow in flows["flows"] if flow["protocol"] == "tcp")
    assert one["guest"] == "%s:%d" % client.getsockname() and one["host"] == "%s:%d" % client.getpeername(), one
    assert one["state"] == "open" and one["direction"] == "out", one
    assert t.proxy.get("/v1/flows?guest=192.168.65.77")["flows"] == []
    assert t.proxy.get("/v1/flows?limit=0")["truncated"]
    far.close()


# ---- Tunnels and links ----

@case(links=STREAM)
def test_tunnel(t):
    """"OK", then the guest's port; with bytes that came too early, and both ways half-closed."""
    listener = t.keep(t.guest.ns.listen("0.0.0.0", 2222))
    listener.settimeout(10 * wait.slowness)
    for method in ("GET", "POST"):
        early = b"early " * 1000
        with opened(t, method, f"/tunnel?ip={FIRST_GUEST}&port=2222", early) as sock:
            assert traffic.read_exactly(sock, 2) == b"OK"
            inner, peer = listener.accept()
            inner.settimeout(10 * wait.slowness)
            assert peer[0] == GATEWAY, peer
            sock.sendall(b"hello")
            sock.shutdown(socket.SHUT_WR)
            assert traffic.read_to_end(inner) == early + b"hello"
            inner.sendall(b"bye")
            inner.close()
            assert traffic.read_to_end(sock) == b"bye"


@case(links=STREAM)
def test_tunnel_to_nowhere(t):
    with opened(t, "GET", f"/tunnel?ip={FIRST_GUEST}&port=2223") as sock:
        assert sock.recv(2) == b"OK"
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass
    for query in ("", "?ip=192.168.65.2", "?ip=&port=22", "?ip=192.168.65.2&port=0", "?ip=192.168.65.2&port=70000",
                  "?ip=no&port=22"):
        status, text = t.proxy.request("GET", f"/tunnel{query}")
        assert status == 500 and text.strip(), (query, status, text)


def arp_request(mac, address, target):
    return (b"\xff" * 6 + mac + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x800, 6, 4, 1) + mac
            + socket.inet_aton(address) + bytes(6) + socket.inet_aton(target))


@case()
def test_connect(t):
    """A guest by POST /connect: no reply, frames that come with the request, frames back."""
    mac = bytes.fromhex("525400001234")
    frame = arp_request(mac, "192.168.65.9", GATEWAY)
    framed = struct.pack("<H", len(frame)) + frame
    with opened(t, "POST", "/connect", framed) as sock:
        size = struct.unpack("<H", sock.recv(2))[0]
        answer = sock.recv(size)
        assert answer[:6] == mac and answer[12:14] == b"\x08\x06" and answer[28:32] == socket.inet_aton(GATEWAY)
        assert [port["link"] for port in t.proxy.get("/v1/ports")] == ["connect #1"]
        assert list(t.proxy.get("/cam").values()) == [1]
    wait.until(lambda: t.proxy.get("/v1/ports") == [], "the link to go with its connection", 10)


# ---- Packets ----

def blocks(data):
    """(type, body) of a pcapng file's blocks."""
    while data:
        kind, size = struct.unpack("=II", data[:8])
        if len(data) < size:
            return
        assert size % 4 == 0 and struct.unpack("=I", data[size - 4:size]) == (size,), "a block's two sizes differ"
        yield kind, data[8:size - 4]
        data = data[size:]


def packets(data):
    """(interface name, frame, to guest?) of a pcapng file."""
    names = []
    for number, (kind, body) in enumerate(blocks(data)):
        if number == 0:
            assert kind == 0x0a0d0d0a and struct.unpack("=IHH", body[:8]) == (0x1a2b3c4d, 1, 0)
        elif kind == 1:
            assert struct.unpack("=H", body[:2]) == (1,)
            code, size = struct.unpack("=HH", body[8:12])
            assert code == 2
            names.append(body[12:12 + size].decode())
        elif kind == 6:
            interface, _, _, kept, size = struct.unpack("=IIIII", body[:20])
            options = body[20 + (kept + 3) // 4 * 4:]
            code, _, flags = struct.unpack("=HHI", options[:8])
            assert code == 2 and flags in (1, 2) and kept <= size
            yield names[interface], body[20:20 + kept], flags == 2


def captured(t, query, cause):
    """What a capture saw of `cause`."""
    with opened(t, "GET", f"/v1/pcap{query}") as sock:
        head, data = read_head(sock)
        assert head.startswith("HTTP/1.1 200 ") and "application/x-pcapng" in head, head
        cause()
        sock.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while piece := sock.recv(1 << 20):
                data += piece
    return list(packets(data))


@case(kinds=["stream", "tap"])
def test_pcap(t):
    seen = captured(t, "", lambda: t.guest.ping(GATEWAY))
    echo = [one for one in seen if one[1][12:14] == b"\x08\x00" and one[1][23] == 1]
    assert {to_guest for _, _, to_guest in echo} == {True, False}, seen
    assert len({name for name, _, _ in echo}) == 1
    for query in (f"?guest={t.guests[1].address}", "?guest=" + "52:54:00:00:65:03"):
        seen = captured(t, query, lambda: (t.guest.ping(GATEWAY), t.guests[1].ping(GATEWAY)))
        pings = [frame for _, frame, _ in seen if frame[12:14] == b"\x08\x00" and frame[23] == 1]
        macs = {frame[:6] for frame in pings} | {frame[6:12] for frame in pings}
        assert bytes.fromhex("525400006503") in macs and bytes.fromhex("525400006502") not in macs, macs
    t.proxy.expose("127.0.0.1:9001", f"{FIRST_GUEST}:80")
    t.keep(t.guest.ns.listen("0.0.0.0", 80))

    def call():
        t.guest.ping(GATEWAY)
        t.host.connect("127.0.0.1", 9001).close()
    seen = captured(t, "?forward=127.0.0.1:9001&snaplen=64", call)
    assert seen and all(frame[23] == 6 and len(frame) <= 64 for _, frame, _ in seen), seen
    for query, status in (("?guest=nobody", 404), ("?forward=:1", 404), ("?snaplen=1", 400), ("?x=1", 400)):
        assert t.proxy.request("GET", f"/v1/pcap{query}")[0] == status, query


@case(links=STREAM)
def test_slow_capture(t):
    """A client that doesn't read costs no more than its buffer, and traffic doesn't wait for it."""
    client, far = t.pair()
    before = t.proxy.rss_kib()
    with opened(t, "GET", "/v1/pcap") as sock:
        read_head(sock)
        traffic.one_way(client, far, t.size(64 << 20))
        assert t.proxy.rss_kib() - before < t.rss_bound_kib(24)
    wait.until(lambda: metrics(t)["netproxy_captures"][""] == 0, "the capture to end", 10)
    assert metrics(t)["netproxy_capture_dropped_packets_total"][""] > 0
