# SPDX-License-Identifier: Apache-2.0
"""VPNKit's port control: forwards made by files, spoken to by 9P2000."""

import os
import socket
import struct

from bed import ninep, traffic, wait
from bed.cases import STREAM, case
from bed.proxy import FIRST_GUEST

FORWARDS = "/v1/forwards"


def start(t, *args):
    path = f"{t.directory}/port.sock"
    t.start("--vpnkit-port", path, *args)
    return path


def connect(t, path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10 * wait.slowness)
    sock.connect(path)
    return sock


def client(t, path):
    made = ninep.Client(connect(t, path))
    t.cleanup.callback(made.close)
    return made


def gone(t):
    wait.until(lambda: not t.proxy.get(FORWARDS), "the forwards to go")


@case(links=STREAM, start=False)
def test_forward(t):
    """A forward lasts as long as its file is open."""
    one = client(t, start(t))
    spec = f"tcp:127.0.0.1:8080:tcp:{FIRST_GUEST}:80"
    fid, answer = one.forward("web", spec)
    assert answer == f"OK {spec}\n", answer
    [made] = t.proxy.get(FORWARDS)
    assert (made["owner"], made["name"], made["bound"]) == ("host", "web", "127.0.0.1:8080"), made
    with t.guest.ns.listen(port=80) as listener:
        ours = t.keep(t.host.connect("127.0.0.1", 8080))
        traffic.one_way(ours, t.keep(traffic.accept(listener)), 1 << 20)
    one.clunk(fid)
    gone(t)
    # UDP, a port that is picked, and a directory that is removed.
    fid, answer = one.forward("dns", f"udp:0.0.0.0:0:udp:{FIRST_GUEST}:53")
    assert answer.startswith("OK udp:0.0.0.0:") and not answer.startswith("OK udp:0.0.0.0:0:"), answer
    port = int(answer.split(":")[2])
    with t.guest.ns.udp(port=53) as guests, t.host.socket(socket.SOCK_DGRAM) as ours:
        ours.sendto(b"query", ("127.0.0.1", port))
        guests.settimeout(10 * wait.slowness)
        assert guests.recv(100) == b"query"
    one.rmdir("dns")
    gone(t)


@case(links=STREAM, start=False)
def test_refused(t):
    """In VPNKit's words; and what failed can be tried again."""
    one = client(t, start(t))
    taken = t.host.listen("127.0.0.1", 8080)
    fid, answer = one.forward("web", f"tcp:127.0.0.1:8080:tcp:{FIRST_GUEST}:80")
    assert answer == "ERROR Bind for 127.0.0.1:8080 failed: port is already allocated\n", answer
    taken.close()
    one.write(fid, f"tcp:127.0.0.1:8080:tcp:{FIRST_GUEST}:80")
    assert one.read(fid).startswith("OK "), one.read(fid)
    other = client(t, t.directory + "/port.sock")
    answer = other.forward("web", f"tcp:127.0.0.1:8080:tcp:{FIRST_GUEST}:80")[1]
    assert answer == "ERROR Bind for 127.0.0.1:8080 failed: port is already allocated\n", answer
    for number, spec in enumerate(("", "tcp", "tcp:127.0.0.1:1:udp:1.2.3.4:1", "tcp:127.0.0.1:8081:tcp:9.9.9.9:80")):
        answer = other.forward(f"bad{number}", spec)[1]
        assert answer.startswith("ERROR ") and answer.endswith("\n") and len(answer) < 100, (spec, answer)
    try:
        other.mkdir("web")
        raise AssertionError("a second directory of that name was made")
    except ninep.Error as error:
        assert str(error) == "File exists", error


@case(links=STREAM, start=False)
def test_ends(t):
    """With a client go its forwards, and with netproxy the socket."""
    path = start(t)
    one, other = client(t, path), client(t, path)
    for i in range(20):
        assert one.forward(f"n{i}", f"tcp:127.0.0.1:{8000 + i}:tcp:{FIRST_GUEST}:80")[1].startswith("OK ")
    other.forward("web", f"tcp:127.0.0.1:9000:tcp:{FIRST_GUEST}:80")
    one.close()
    wait.until(lambda: len(t.proxy.get(FORWARDS)) == 1, "the first client's forwards to go")
    other.close()
    gone(t)
    t.proxy.finish()
    assert not os.path.exists(path)
    t.start("--vpnkit-port", path)


@case(links=STREAM, start=False)
def test_guest(t):
    """A guest's door lets it publish its own ports, as the rules say."""
    path = f"{t.directory}/vsock.sock"
    t.start("--vsock", path, "--vpnkit-port", "vsock", "--guest-publish", "127.0.0.1:8000-8999")
    one = client(t, f"{path}_62373")
    assert one.forward("own", f"tcp:127.0.0.1:8080:tcp:{FIRST_GUEST}:80")[1].startswith("OK ")
    [made] = t.proxy.get(FORWARDS)
    assert (made["owner"], made["guest"]) == ("guest", 1), made
    answer = one.forward("others", "tcp:127.0.0.1:8081:tcp:192.168.65.77:80")[1]
    assert answer == "ERROR 192.168.65.77 is not this VM's address\n", answer
    assert one.forward("low", f"tcp:127.0.0.1:80:tcp:{FIRST_GUEST}:80")[1].startswith("ERROR ")
    assert one.forward("all", f"tcp:0.0.0.0:8082:tcp:{FIRST_GUEST}:80")[1].startswith("ERROR ")
    assert len(t.proxy.get(FORWARDS)) == 1


@case(links=STREAM, start=False)
def test_hostile(t):
    """Messages that make no sense end a connection at most, and many clients are turned away."""
    path = start(t)
    for raw in (b"\0\0\0\0\0\0\0", struct.pack("<IBH", 6, 100, 0), b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n"):
        with connect(t, path) as sock:
            sock.sendall(raw)
            assert sock.recv(1) == b"", raw
    one = client(t, path)
    # Byte by byte, and many at once.
    message = struct.pack("<IBH", 11, ninep.STAT, 1) + struct.pack("<I", 0)
    for byte in message:
        one.sock.sendall(bytes([byte]))
    one.answer(ninep.STAT)
    one.sock.sendall(message * 500)
    for _ in range(500):
        one.answer(ninep.STAT)
    idle = [t.keep(connect(t, path)) for _ in range(100)]
    wait.until(lambda: any(peek(sock) == b"" for sock in idle), "some to be turned away")
    assert one.forward("web", f"tcp:127.0.0.1:8080:tcp:{FIRST_GUEST}:80")[1].startswith("OK ")


def peek(sock):
    try:
        sock.setblocking(False)
        return sock.recv(1)
    except BlockingIOError:
        return None
