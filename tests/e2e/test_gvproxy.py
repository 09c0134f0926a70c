# SPDX-License-Identifier: Apache-2.0
"""netproxy in gvproxy's place: its name, flags, configuration and API, beside the real one where that is unpacked
(bench/fetch-peers build/peers)."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import stat

from bed import process, traffic, wait
from bed.cases import case
from bed.guest import Guest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
REAL = f"{ROOT}/build/peers/usr/bin/gvproxy"
MAC = "5a:94:ef:e4:0c:ee"
GUEST = "192.168.127.2"


class Gvproxy:
    """One of either kind, in the host's namespace. It is ended by kill(), as podman does it, or by stop()."""

    def __init__(self, t, *args, real=False, env=None, name="gvproxy"):
        self.directory = f"{t.directory}/{name}"
        os.makedirs(self.directory)
        program = REAL
        if not real:
            program = f"{self.directory}/gvproxy"
            os.symlink(os.path.realpath(f"{t.settings.bin}/netproxy"), program)
        self.api = f"{self.directory}/api.sock"
        self.process = process.Process([program, "-listen", f"unix://{self.api}", *args],
                                       f"{self.directory}/out", t.host, env=env)
        t.cleanup.callback(self.process.kill)
        wait.until(lambda: self.answers(), "gvproxy's API", 10)

    def answers(self):
        assert self.process.running(), self.process.output()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(self.api)
            return True
        return False

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("gvproxy", timeout=10 * wait.slowness)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10 * wait.slowness)
        connection.sock.connect(self.api)
        with contextlib.closing(connection):
            connection.request(method, path, body if isinstance(body, str) else json.dumps(body) if body else None)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()

    def stop(self):
        status = self.process.stop()
        assert status == 0, f"{status}: {self.process.output()}"


# ---- The same requests to both ----

EXPOSE, UNEXPOSE = "/services/forwarder/expose", "/services/forwarder/unexpose"
SSH = {"local": "127.0.0.1:2222", "remote": "192.168.127.2:22", "protocol": "tcp"}
TCP = {"local": ":29001", "remote": "192.168.127.2:80", "protocol": "tcp"}
UDP = {"local": "127.0.0.1:29002", "remote": "192.168.127.2:53", "protocol": "udp"}
ANY = re.compile(r".+\n", re.DOTALL)  # a text for people

# (method, path, body), what gvproxy 0.8.1 answered; and where ours may differ, what it says, and why that is better.
REQUESTS = [
    (("GET", "/services/forwarder/all"), (200, [SSH])),
    (("GET", EXPOSE), (400, "post only\n")),
    (("POST", EXPOSE, "{"), (400, "unexpected EOF\n"), (400, ANY), "it says where, and what was expected"),
    (("POST", EXPOSE), (400, "EOF\n"), (400, ANY), "it says where, and what was expected"),
    (("POST", EXPOSE, TCP), (200, "")),
    (("POST", EXPOSE, TCP), (500, "listen tcp :29001: bind: address already in use\n"), (500, "proxy already running\n"),
     "it tells our own forward from another program"),
    (("POST", EXPOSE, {**TCP, "local": "127.0.0.1:29001"}),
     (500, "listen tcp 127.0.0.1:29001: bind: address already in use\n")),
    (("POST", EXPOSE, {**UDP, "remote": "192.168.127.2"}), (400, "address 192.168.127.2: missing port in address\n"),
     (400, ANY), "it says what was expected"),
    (("POST", EXPOSE, UDP), (200, "")),
    (("POST", EXPOSE, {**TCP, "protocol": "sctp", "local": ":29003"}), (500, "unknown protocol sctp\n"), (500, ANY),
     "it says what was expected"),
    (("GET", "/services/forwarder/all"), (200, [SSH, UDP, TCP])),
    (("POST", UNEXPOSE, {"local": "127.0.0.1:1", "protocol": "tcp"}), (500, "proxy not found\n")),
    (("POST", UNEXPOSE, {"local": UDP["local"], "protocol": "tcp"}), (500, "proxy not found\n")),
    (("GET", UNEXPOSE), (400, "post only\n")),
    (("POST", UNEXPOSE, {"local": UDP["local"], "protocol": "udp"}), (200, "")),
    (("POST", UNEXPOSE, {"local": TCP["local"], "protocol": "tcp"}), (200, "")),
    (("GET", "/services/forwarder/all"), (200, [SSH])),
    (("GET", "/services/dns/add"), (400, "post only\n")),
    (("POST", "/services/dns/add", {"Name": "new.internal.", "Records": [{"Name": "a", "IP": "192.168.127.9"}]}),
     (200, "")),
    (("GET", "/services/dhcp/leases"), (200, {"192.168.127.1": "5a:94:ef:e4:0c:dd", GUEST: MAC}), (200, {}),
     "what no guest has taken is no lease"),
    (("GET", "/leases"), (200, {"192.168.127.1": "5a:94:ef:e4:0c:dd", GUEST: MAC}), (200, {}), "the same"),
    (("GET", "/cam"), (200, {})),
    (("GET", "/tunnel"), (500, "ip is mandatory\n")),
    (("GET", "/tunnel?ip=192.168.127.2"), (500, 'strconv.Atoi: parsing "": invalid syntax\n'), (500, ANY),
     "it says what was expected"),
    (("GET", "/no/such/path"), (404, "404 page not found\n")),
]


def fits(expected, got):
    (status, body), (got_status, got_body) = expected, got
    if status != got_status:
        return False
    if isinstance(body, str):
        return body == got_body
    if isinstance(body, re.Pattern):
        return bool(body.fullmatch(got_body))
    return got_body.endswith("\n") and json.loads(got_body) == body


def compare(one, real):
    for request, theirs, *better in REQUESTS:
        expected = theirs if real or not better else better[0]
        got = one.request(*request)
        assert fits(expected, got), f"{request}: {got} instead of {expected}"
    stats = json.loads(one.request("GET", "/stats")[1])
    assert isinstance(stats["BytesSent"], int) and isinstance(stats["BytesReceived"], int), stats
    zones = {zone["Name"]: zone for zone in json.loads(one.request("GET", "/services/dns/all")[1])}
    for name in ("containers.internal.", "docker.internal."):
        records = [record for record in zones[name]["Records"] if ":" not in record["IP"]]
        assert records == [{"Name": "gateway", "IP": "192.168.127.1", "Regexp": None},
                           {"Name": "host", "IP": "192.168.127.254", "Regexp": None}], records
        assert set(zones[name]) == {"Name", "Records", "DefaultIP"} and zones[name]["DefaultIP"] == ""
    assert zones["new.internal."]["Records"][0] == {"Name": "a", "IP": "192.168.127.9", "Regexp": None}


@case(start=False)
def test_api(t):
    """Ours says what the real one does, but for listed improvements; and so does the real one, if it is here."""
    one = Gvproxy(t)
    compare(one, False)
    one.stop()
    if os.path.exists(REAL):
        compare(Gvproxy(t, real=True, name="real"), True)


# ---- Flags ----

def refused(t, *args):
    """What it says to a wrong command line, and its status."""
    link = f"{t.directory}/gvproxy-link"
    if not os.path.islink(link):
        os.makedirs(f"{t.directory}/bin", exist_ok=True)
        link = f"{t.directory}/bin/gvproxy"
        if not os.path.islink(link):
            os.symlink(os.path.realpath(f"{t.settings.bin}/netproxy"), link)
    done = t.host.run(link, *args, check=False)
    return done.returncode, done.stdout + done.stderr


@case(start=False)
def test_flags(t):
    for args, text in ((["-x"], "flag provided but not defined: -x"), (["-listen"], "flag needs an argument: -listen"),
                       (["-debug=maybe"], "invalid boolean value"), (["-ssh-port", "80"], "between 1024 and 65535"),
                       (["-listen-vfkit", "unix:///tmp/x"], "unixgram://"), (["-listen", "vsock://:1024"], "cannot listen"),
                       (["-forward-sock", "/tmp/x"], "must all be specified together"),
                       (["-forward-sock", "/tmp/x", "-forward-dest", "/y", "-forward-user", "u", "-forward-identity", "/no"],
                        "can't be loaded"), (["-notification", "/tmp/x"], "unix:// address"), (["-mtu", "1"], "--mtu")):
        status, said = refused(t, *args)
        assert status in (1, 2) and text in said, (args, status, said)
    status, said = refused(t, "--version")
    assert status == 0 and said.startswith("gvproxy version "), said


@case(start=False)
def test_as_podman_does(t):
    """Podman's command line: the pid file without a newline, the log, SSH's port; and the end by SIGKILL."""
    directory = f"{t.directory}/podman"
    os.makedirs(directory)
    link = t.add_guest("stream")
    one = Gvproxy(t, "-mtu", "1500", "-ssh-port", "2223", f"--listen-qemu=unix://{link.socket}", "-pid-file",
                  f"{directory}/pid", "-log-file", f"{directory}/log", "-debug")
    with open(f"{directory}/pid", encoding="ascii") as file:
        assert file.read() == str(one.process.pid)
    assert [forward["local"] for forward in json.loads(one.request("GET", "/services/forwarder/all")[1])] == [
        "127.0.0.1:2223"]
    link.mac = MAC
    link.attach()
    link.dhcp()
    assert link.address == GUEST, link.address
    assert json.loads(one.request("GET", "/leases")[1])[GUEST] == MAC
    listener = t.keep(link.ns.listen("0.0.0.0", 22))
    client = t.keep(t.host.connect("127.0.0.1", 2223))
    far = t.keep(traffic.accept(listener))
    traffic.one_way(client, far, 1 << 20)
    os.kill(one.process.pid, signal.SIGKILL)
    one.process.wait()
    again = Gvproxy(t, "-ssh-port", "2223", f"--listen-qemu=unix://{link.socket}", name="again")
    again.stop()


# ---- What it does besides ----

def notifications(t, path):
    listener = t.keep(socket.socket(socket.AF_UNIX))
    listener.bind(path)
    listener.listen()
    listener.settimeout(10 * wait.slowness)

    def one():
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10 * wait.slowness)
            return json.loads(traffic.read_to_end(connection))
    return one


@case(start=False)
def test_notifications(t):
    """Each by a connection of its own."""
    path = f"{t.directory}/notify.sock"
    heard = notifications(t, path)
    link = t.add_guest("stream")
    one = Gvproxy(t, "-notification", f"unix://{path}", "-listen-qemu", f"unix://{link.socket}")
    assert heard() == {"notification_type": "ready"}
    link.attach()
    assert heard() == {"notification_type": "connection_established", "mac_address": link.mac}
    link.detach()
    assert heard() == {"notification_type": "connection_closed", "mac_address": link.mac}
    one.stop()


FAKE_SSH = """#!/bin/sh
echo "$@" >> "$SSH_LOG"
[ -e "$SSH_LOG.fail" ] && exit 255
exec sleep 1000
"""


@case(start=False)
def test_ssh_forward(t):
    """ssh gets the right words, is started again when it ends, and ends with us, however we end."""
    directory = f"{t.directory}/ssh"
    os.makedirs(f"{directory}/bin")
    for name, text in (("bin/ssh", FAKE_SSH), ("key", "secret"), ("log.fail", "")):
        with open(f"{directory}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    os.chmod(f"{directory}/bin/ssh", stat.S_IRWXU)
    log = f"{directory}/log"

    def calls():
        if not os.path.exists(log):
            return []
        with open(log, encoding="ascii") as file:
            return file.read().splitlines()
    one = Gvproxy(t, "-ssh-port", "2224", "-forward-sock", f"{directory}/podman.sock", "-forward-dest",
                  "/run/podman/podman.sock", "-forward-user", "core", "-forward-identity", f"{directory}/key",
                  env={"SSH_LOG": log, "PATH": f"{directory}/bin:{os.environ['PATH']}"})
    wait.until(lambda: len(calls()) >= 2, "ssh to be tried again", 10)
    os.remove(f"{log}.fail")
    for words in ("-N", f"-L {directory}/podman.sock:/run/podman/podman.sock", "-p 2224", "-l core", "127.0.0.1",
                  f"-i {directory}/key", "StrictHostKeyChecking=no"):
        assert words in calls()[0], calls()

    def children():
        return t.host.run("pgrep", "-P", str(one.process.pid), check=False).stdout.split()
    pid, = wait.until(lambda: children() if children() and len(calls()) >= 3 else None, "ssh to stay", 10)
    os.kill(one.process.pid, signal.SIGKILL)
    one.process.wait()
    wait.until(lambda: not os.path.exists(f"/proc/{pid}"), "ssh to end with us", 10)


CONFIG = """
# As gvisor-tap-vsock documents it.
listen:
  - unix://{api}
log-level: debug
stack:
  mtu: 1400
  subnet: 192.168.200.0/24
  gatewayIP: 192.168.200.1
  dns:
    - name: crc.testing.
      defaultIP: 192.168.200.2
      records:
        - name: api
          ip: 192.168.200.3
        - regexp: ^x[0-9]+$
          ip: 192.168.200.4
  dnsSearchDomains: [crc.testing]
  forwards:
    127.0.0.1:2225: 192.168.200.2:22
    :8443: 192.168.200.2:443
  nat:
    192.168.200.254: 127.0.0.1
  gatewayVirtualIPs: [192.168.200.254]
  dhcpStaticLeases:
    192.168.200.2: 5a:94:ef:e4:0c:ee
unknown: ignored
"""


@case(start=False)
def test_configuration(t):
    api = f"{t.directory}/config.sock"
    path = f"{t.directory}/gvproxy.yaml"
    with open(path, "w", encoding="ascii") as file:
        file.write(CONFIG.replace("{api}", api))
    one = Gvproxy(t, "-config", path, "-mtu=1300")
    version = json.loads(one.request("GET", "/v1/version")[1])
    assert (version["subnet"], version["gateway"], version["host"], version["mtu"]) == (
        "192.168.200.0/24", "192.168.200.1", "192.168.200.254", 1300), version
    assert [(forward["local"], forward["remote"]) for forward in json.loads(
        one.request("GET", "/services/forwarder/all")[1])] == [
            ("127.0.0.1:2225", "192.168.200.2:22"), (":8443", "192.168.200.2:443")]
    zone, = (zone for zone in json.loads(one.request("GET", "/services/dns/all")[1])
             if zone["Name"] == "crc.testing.")
    assert zone["DefaultIP"] == "192.168.200.2" and len(zone["Records"]) == 2, zone
    assert not os.path.exists(api), "-listen on the command line replaces the file's"
    one.stop()
    with open(path, "w", encoding="ascii") as file:
        file.write("stack: [\n")
    status, said = refused(t, "-config", path)
    assert status == 2 and "line" in said, said
