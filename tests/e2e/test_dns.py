# SPDX-License-Identifier: Apache-2.0
"""DNS at the gateway: built-in names, and everything else as the host's resolver says it."""

import socket
import struct

from bed import netns, traffic, wait, world
from bed.cases import MAIN, STREAM, case
from bed.dig import dig, short, status
from bed.proxy import ALIAS, GATEWAY

TRANSPORTS = ("+notcp", "+tcp")


@case(links=MAIN)
def test_built_in_names(t):
    for transport in TRANSPORTS:
        for name in ("host.internal", "host.docker.internal", "host.containers.internal"):
            assert short(t, transport, name) == [ALIAS], f"{name} {transport}"
        for name in ("gateway.internal", "gateway.docker.internal", "gateway.containers.internal"):
            assert short(t, transport, name) == [GATEWAY], f"{name} {transport}"


@case(links=STREAM)
def test_built_in_names_other_types(t):
    """A name that is ours exists, whatever type is asked for; one that isn't doesn't."""
    for kind in ("AAAA", "TXT", "MX"):
        output = dig(t, kind, "host.internal")
        assert status(output) == "NOERROR", f"{kind}: {output}"
    assert status(dig(t, "nobody.docker.internal")) in ("NXDOMAIN", "REFUSED")
    assert short(t, "HOST.Internal") == [ALIAS], "names are not case-sensitive"


@case(links=MAIN)
def test_relay(t):
    """Every type is relayed as it is, over UDP and TCP."""
    for transport in TRANSPORTS:
        assert short(t, transport, "a.test") == ["10.77.0.2"]
        assert short(t, transport, "AAAA", "wide.a.test") == ["fd77::2"]
        assert short(t, transport, "TXT", "txt.test") == ['"first string" "second string"']
        assert short(t, transport, "MX", "mx.test") == ["10 mail.test."]
        assert short(t, transport, "SRV", "_http._tcp.test") == ["1 2 8080 a.test."]
        assert short(t, transport, "CAA", "a.test") == ['0 issue "ca.test"']
        assert short(t, transport, "alias.test") == ["a.test.", "10.77.0.2"]


@case(links=MAIN)
def test_ttl_is_kept(t):
    answer = dig(t, "+noall", "+answer", "a.test").split()
    assert answer[1] == "77", answer


@case(links=MAIN)
def test_errors_are_relayed(t):
    for transport in TRANSPORTS:
        assert status(dig(t, transport, "nowhere.test")) == "NXDOMAIN", transport
        assert status(dig(t, transport, "x.broken.test")) == "SERVFAIL", transport


@case(links=MAIN)
def test_large_answer(t):
    """An answer too large for UDP is marked truncated, and whole over TCP."""
    output = dig(t, "+notcp", "+ignore", "+noedns", "TXT", "large.test")
    assert " tc" in output.partition("flags:")[2].partition(";")[0], output
    assert len(short(t, "TXT", "large.test")) == 60
    assert len(short(t, "+tcp", "TXT", "large.test")) == 60


@case(links=MAIN)
def test_many_at_once(t):
    """150 questions from one socket before the first answer is read."""
    sock = t.keep(t.guest.ns.udp())
    sock.connect((GATEWAY, 53))
    sock.settimeout(5 * wait.slowness)
    question = b"\1a\4test\0\0\1\0\1"
    for number in range(150):
        sock.send(struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + question)
    answers = {}
    while len(answers) < 150:
        data = sock.recv(2048)
        answers[struct.unpack(">H", data[:2])[0]] = data
    for number, data in answers.items():
        assert number < 150 and data[3] & 15 == 0 and data.endswith(socket.inet_aton("10.77.0.2"))


@case(links=MAIN)
def test_tcp_pipelined(t):
    """Several questions on one TCP connection are all answered."""
    sock = t.keep(t.guest.ns.connect(GATEWAY, 53))
    sock.settimeout(5 * wait.slowness)
    for number in range(20):
        query = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + b"\1a\4test\0\0\1\0\1"
        sock.sendall(struct.pack(">H", len(query)) + query)
    numbers = set()
    for _ in range(20):
        size, = struct.unpack(">H", traffic.read_exactly(sock, 2))
        numbers.add(struct.unpack(">H", traffic.read_exactly(sock, size)[:2])[0])
    assert numbers == set(range(20))


@case(links=STREAM)
def test_garbage(t):
    """What isn't a question gets no answer or an error; the server goes on."""
    sock = t.keep(t.guest.ns.udp())
    for data in (b"", b"\0", b"\xff" * 12, b"\0" * 12, bytes(range(200)), b"\xc0" * 512,
                 struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
                 struct.pack(">HHHHHH", 1, 0x0100, 65535, 65535, 65535, 65535) + b"\1a\0\0\1\0\1"):
        sock.sendto(data, (GATEWAY, 53))
    with t.guest.ns.connect(GATEWAY, 53) as tcp:
        tcp.sendall(b"\xff\xff" + b"\xff" * 5000)
    assert short(t, "a.test") == ["10.77.0.2"]


@case(links=STREAM, start=False)
def test_without_upstream(t):
    """With a resolver that doesn't answer: our own names do, and others get SERVFAIL, not silence."""
    t.proxy.resolv_conf = f"{t.directory}/resolv.conf"
    with open(t.proxy.resolv_conf, "w") as file:
        file.write(f"nameserver {world.BLACK_HOLE}\n")
    t.start()
    assert short(t, "host.internal") == [ALIAS]
    output = dig(t, "+time=15", "a.test")
    assert status(output) == "SERVFAIL", output


@case(links=STREAM, start=False)
def test_no_resolver_at_all(t):
    t.proxy.resolv_conf = f"{t.directory}/resolv.conf"
    with open(t.proxy.resolv_conf, "w") as file:
        file.write("# nothing\n")
    t.start()
    assert short(t, "host.internal") == [ALIAS]
    assert status(dig(t, "a.test")) in ("SERVFAIL", "REFUSED")


@case(links=MAIN)
def test_through_resolv_conf(t):
    """What a program in the guest sees, with the resolver that DHCP named."""
    netns.resolv_conf(t.guest.ns, f"nameserver {t.guest.lease()['dns'].split()[0]}\n")
    for name, address in ("host.internal", ALIAS), ("a.test", "10.77.0.2"):
        output = t.guest.ns.run("ip", "netns", "exec", t.guest.ns.name, "busybox", "nslookup", name)
        assert address in output.stdout, output.stdout
