# SPDX-License-Identifier: Apache-2.0
"""DNS that is relayed: every type and size, errors as they are, whom it asks, and when."""

import os
import socket
import struct
import time

from bed import nameserver, wait, world
from bed.cases import MAIN, STREAM, case
from bed.dig import dig, flags, short, status
from bed.nameserver import Answer, NameServer, address, record, soa, txt
from bed.proxy import ALIAS

FIRST, SECOND = "10.78.0.53", "10.78.0.54"
TYPES = {
    "A": [address("10.1.2.3", 4321), address("10.1.2.4", 4321)],
    "AAAA": [address("2001:db8::3")],
    "TXT": [txt(b"one", b"two"), txt(b"\xff\x00 \"")],
    "MX": [record(nameserver.MX, b"\0\x0a" + nameserver.name_wire("mail.any.test"))],
    "SRV": [record(nameserver.SRV, struct.pack(">HHH", 1, 2, 8080) + nameserver.name_wire("a.any.test"))],
    "CAA": [record(nameserver.CAA, b"\x80\x05issueca.test")],
    "NAPTR": [record(nameserver.NAPTR, b"\0\1\0\2\1s\7SIP+D2U\0" + nameserver.name_wire("_sip.any.test"))],
    "HTTPS": [record(nameserver.HTTPS, b"\0\1\0" + b"\0\1\0\3\2h2" + b"\0\4\0\4\x0a\1\2\3")],
    "TYPE65400": [record(65400, bytes(range(100)))],
}
SIXTY_KB = [txt(*(b"%05d" % n + b"x" * 240 for _ in range(2))) for n in range(120)]
THREE_KB = [txt(b"%05d" % n + b"y" * 240) for n in range(11)]


def every_type(query):
    if query.name.lower() == "large.any.test":
        return Answer(records=SIXTY_KB)
    if query.name.lower() == "medium.any.test":
        return Answer(records=THREE_KB)
    if query.type == nameserver.ANY:
        return Answer(records=TYPES["A"] + TYPES["AAAA"])
    for records in TYPES.values():
        if records[0][2:4] == struct.pack(">H", query.type):
            return Answer(records=records)
    return Answer(authority=[soa("any.test")])


def errors(query):
    code = {"refused.any.test": nameserver.REFUSED, "servfail.any.test": nameserver.SERVFAIL,
            "notimp.any.test": nameserver.NOTIMP, "nx.any.test": nameserver.NXDOMAIN}
    rcode = code.get(query.name, nameserver.NOERROR)
    return Answer(rcode, authority=[soa("any.test", 77)] if rcode in (0, nameserver.NXDOMAIN) else [])


def says(text, ttl=300):
    return lambda query: Answer(records=[address(text, ttl)] if query.type == nameserver.A else [])


def answers(output):
    """The answer section without what dig says of itself."""
    return [line.split() for line in output.splitlines() if line and not line.startswith(";")]


@case(links=STREAM, args=["--dns", FIRST])
def test_every_type(t):
    """What a guest gets is what the host gets: types that are new, or unknown, TTLs, strings of any bytes."""
    t.serve(NameServer(t.world, FIRST, every_type))
    for kind in (*TYPES, "ANY", "DS"):
        wanted = answers(dig(t, "+noall", "+answer", "any.test", kind, server=FIRST, namespace=t.host))
        assert wanted or kind == "DS", f"{kind}: the bed's own server fails"
        for options in (("+notcp", "+noedns"), ("+notcp", "+bufsize=1232", "+dnssec"), ("+tcp",)):
            got = answers(dig(t, "+noall", "+answer", *options, "any.test", kind))
            assert got == wanted, f"{kind} {options}: {got}"


@case(links=MAIN, args=["--dns", FIRST])
def test_sixty_kilobytes(t):
    """60 KB over TCP; over UDP the answer says that it is cut, and dig asks again over TCP."""
    server = t.serve(NameServer(t.world, FIRST, every_type))
    output = dig(t, "+notcp", "+ignore", "large.any.test", "TXT")
    assert "tc" in flags(output) and "ANSWER: 0" in output, output
    for options in ((), ("+tcp",)):
        output = dig(t, *options, "large.any.test", "TXT")
        assert len(answers(output)) == len(SIXTY_KB), output[-500:]
        assert int(output.partition("MSG SIZE  rcvd: ")[2]) > 60000, output[-200:]
    # Each is relayed by the transport that it came over.
    assert [query.transport for query in server.queries] == ["udp", "udp", "tcp", "tcp"]


@case(links=MAIN, args=["--dns", FIRST])
def test_size_of_datagrams(t):
    """An answer of 3 KB comes in fragments to who takes that much, and else is cut off."""
    t.serve(NameServer(t.world, FIRST, every_type))
    output = dig(t, "+notcp", "+ignore", "+bufsize=4096", "medium.any.test", "TXT")
    assert len(answers(output)) == len(THREE_KB) and "tc" not in flags(output), output
    for size in ("+bufsize=1232", "+bufsize=512", "+noedns"):
        output = dig(t, "+notcp", "+ignore", size, "medium.any.test", "TXT")
        assert "tc" in flags(output), output


@case(links=STREAM, args=["--dns", FIRST, "--dns", SECOND])
def test_errors_keep_their_names(t):
    """An error of the resolvers is that error; "no such name" brings the SOA that says for how long."""
    t.serve(NameServer(t.world, FIRST, errors))
    t.serve(NameServer(t.world, SECOND, errors))
    for name in ("refused", "servfail", "notimp"):
        assert status(dig(t, f"{name}.any.test")) == name.upper()
    for name, word in ("nx", "NXDOMAIN"), ("empty", "NOERROR"):
        output = dig(t, f"{name}.any.test")
        assert status(output) == word and "ANSWER: 0" in output, output
        line = next(line.split() for line in output.splitlines() if "\tSOA\t" in line)
        assert line[1] == "77", f"the SOA's TTL is {line[1]}"


@case(links=STREAM, args=["--dns", FIRST])
def test_hard_to_guess(t):
    """Each query goes out from another port and under another number, in the letters that the guest chose."""
    server = t.serve(NameServer(t.world, FIRST, says("10.1.1.1")))
    sock = t.keep(t.guest.ns.udp())
    sock.connect(("192.168.65.1", 53))
    question = nameserver.name_wire("MiXeD.aNy.TeSt") + b"\0\1\0\1"
    for _ in range(60):
        sock.send(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + question)
        reply = sock.recv(2048)
        assert reply[:2] == b"\0\7" and question in reply, reply
    assert len(server.queries) == 60
    assert len({query.port for query in server.queries}) > 50
    assert len({query.id for query in server.queries}) > 50
    assert {query.name for query in server.queries} == {"MiXeD.aNy.TeSt"}


@case(links=STREAM, args=["--dns", world.BLACK_HOLE, "--dns", SECOND])
def test_failover(t):
    """The first resolver says nothing: the second one answers after a try's time, and soon at once."""
    t.serve(NameServer(t.world, SECOND, says("10.1.1.1")))
    times = []
    for number in range(4):
        start = time.monotonic()
        assert short(t, "+time=4", f"x{number}.any.test") == ["10.1.1.1"]
        times.append(time.monotonic() - start)
    assert 1.0 < times[0] < 2.5 * wait.slowness, times
    assert times[3] < 0.8 * wait.slowness, f"a dead resolver is still waited for: {times}"


@case(links=STREAM, args=["--dns", "127.0.0.1:5399", "--dns", SECOND])
def test_failover_when_refused(t):
    """Nobody listens at the first: the second one is asked at once, over UDP and over TCP."""
    t.serve(NameServer(t.world, SECOND, says("10.1.1.1")))
    for transport in ("+notcp", "+tcp"):
        start = time.monotonic()
        assert short(t, transport, "any.test") == ["10.1.1.1"]
        assert time.monotonic() - start < 1.0 * wait.slowness


@case(links=STREAM, start=False)
def test_resolv_conf_changes(t):
    """A new resolv.conf counts within a second or so; queries under way end where they went."""
    t.serve(NameServer(t.world, FIRST, says("10.1.1.1")))
    t.serve(NameServer(t.world, SECOND, says("10.2.2.2")))
    t.proxy.resolv_conf = path = f"{t.directory}/resolv.conf"

    def write(text):
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)

    write(f"nameserver {FIRST}\n")
    t.start()
    assert short(t, "any.test") == ["10.1.1.1"]
    write(f"nameserver {SECOND}\n")
    wait.until(lambda: short(t, "any.test") == ["10.2.2.2"], "the new resolver to be asked")
    write("")
    wait.until(lambda: status(dig(t, "any.test")) == "SERVFAIL", "no resolver to be asked")
    os.unlink(path)
    os.mkfifo(path)
    assert short(t, "host.internal") == [ALIAS]
    os.unlink(path)
    write(f"nameserver {FIRST}\n")
    wait.until(lambda: short(t, "any.test") == ["10.1.1.1"], "the old resolver to be asked again")


@case(links=STREAM, args=["--dns", FIRST, "--dns-route", f"corp.test={world.BLACK_HOLE},{SECOND}",
                          "--dns-route", "deep.corp.test=[fd00:53::1]:53", "--dns-route",
                          f"15.168.192.in-addr.arpa={SECOND}"])
def test_split(t):
    """Names within a route's domain, and only they, go to its resolvers; there is no way back to the others."""
    first = t.serve(NameServer(t.world, FIRST, says("10.1.1.1")))
    second = t.serve(NameServer(t.world, SECOND, says("10.2.2.2")))
    assert short(t, "+time=4", "Git.Corp.Test") == ["10.2.2.2"]
    assert short(t, "+time=4", "corp.test") == ["10.2.2.2"]
    assert short(t, "mycorp.test") == ["10.1.1.1"]
    assert status(dig(t, "x.deep.corp.test")) == "SERVFAIL"
    dig(t, "-x", "192.168.15.1")
    assert {query.name.lower() for query in first.queries} == {"mycorp.test"}
    assert second.queries[-1].name == "1.15.168.192.in-addr.arpa"


@case(links=STREAM, start=False)
def test_resolver_over_ipv6(t):
    """Resolvers with IPv6 addresses, one of them on an interface that isn't there."""
    six = t.host.socket(socket.SOCK_DGRAM, socket.AF_INET6)
    six.bind(("::1", 53))
    t.keep(six)
    t.proxy.resolv_conf = f"{t.directory}/resolv.conf"
    with open(t.proxy.resolv_conf, "w") as file:
        file.write("nameserver fe80::1%nosuchif\nnameserver ::1\n")
    t.start()
    sock = t.keep(t.guest.ns.udp())
    sock.sendto(struct.pack(">6H", 9, 0x0100, 1, 0, 0, 0) + nameserver.name_wire("six.test") + b"\0\1\0\1",
                ("192.168.65.1", 53))
    query, source = six.recvfrom(512)
    assert b"\3six\4test" in query
    reply = query[:2] + b"\x81\x80" + query[4:6] + b"\0\1" + query[8:] + address("10.6.6.6")
    six.sendto(reply, source)
    assert sock.recv(512).endswith(b"\x0a\6\6\6")


@case(links=STREAM, args=["--resolv-conf", "none"])
def test_no_upstream(t):
    """Without any resolver our own names are there, and the rest fails at once and says why."""
    assert short(t, "host.internal") == [ALIAS]
    for transport in ("+notcp", "+tcp"):
        start = time.monotonic()
        output = dig(t, transport, "any.test")
        assert status(output) == "SERVFAIL" and "EDE: 22" in output, output
        assert time.monotonic() - start < 1.0 * wait.slowness


@case(links=STREAM, args=["--dns", FIRST])
def test_not_relayed(t):
    """What isn't for a resolver of the host's: zone transfers, other opcodes, its version; and replies."""
    server = t.serve(NameServer(t.world, FIRST, every_type))
    # dig makes little of a refused transfer: it prints that it failed.
    assert "Transfer failed" in dig(t, "AXFR", "any.test")
    assert status(dig(t, "+opcode=NOTIFY", "any.test", "SOA")) == "NOTIMP"
    assert status(dig(t, "+opcode=UPDATE", "any.test", "SOA")) == "NOTIMP"
    assert short(t, "CH", "TXT", "version.bind") == ['"netproxy"']
    assert status(dig(t, "CH", "TXT", "id.server")) == "REFUSED"
    output = dig(t, "+edns=7", "+noednsnegotiation", "any.test")
    assert status(output) == "BADVERS", output
    sock = t.keep(t.guest.ns.udp())
    sock.sendto(struct.pack(">6H", 1, 0x8100, 1, 0, 0, 0) + nameserver.name_wire("any.test") + b"\0\1\0\1",
                ("192.168.65.1", 53))
    assert short(t, "any.test")[0] == "10.1.2.3"
    assert len(server.queries) == 1, server.queries
