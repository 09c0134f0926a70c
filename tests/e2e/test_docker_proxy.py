# SPDX-License-Identifier: Apache-2.0
"""netproxy-docker-proxy, started as dockerd starts it: -host-port and the rest, and a report on fd 3."""

import contextlib
import fcntl
import os
import select
import signal
import subprocess

from bed import wait
from bed.cases import STREAM, case
from bed.proxy import FIRST_GUEST

PORT = 8080
REPORT_TIMEOUT = 15  # seconds: more than the program itself gives
ANSWER = b"by docker-proxy\n"

# What stands in for Docker's own docker-proxy: listens where it is told, and says who it is.
DOCKER_PROXY = """#!/usr/bin/env python3
import os, socket, sys
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
assert words["-container-ip"] == "172.17.0.2" and words["-container-port"] == "80", words
family = socket.AF_INET6 if ":" in words["-host-ip"] else socket.AF_INET
given = "-use-listen-fd" in sys.argv
listener = socket.socket(fileno=4) if given else socket.socket(family)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if family == socket.AF_INET6:
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
try:
    if not given:
        listener.bind((words["-host-ip"], int(words["-host-port"])))
except OSError as error:
    os.write(3, f"1\\nfake: {error}\\n".encode())
    sys.exit(1)
listener.listen()
listener.setblocking(True)
os.write(3, b"0\\n")
os.close(3)
while True:
    client = listener.accept()[0]
    client.sendall(b"by docker-proxy\\n")
    client.close()
"""


class Started:
    """A netproxy-docker-proxy in the guest's namespace; `report` is what it said on fd 3."""

    def __init__(self, t, host_ip="0.0.0.0", protocol="tcp", docker_proxy=None, api=None, listener=None):
        report_r, report_w = os.pipe()
        # Out of the way of 3 and 4, which they become.
        given = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
                 for fd in (report_w, *([listener.fileno()] if listener else []))]
        os.close(report_w)
        to_fds = 'exec "$@" ' + " ".join(f"{to}>&{fd} {fd}>&-" for to, fd in zip((3, 4), given))
        argv = ["setpriv", "--pdeathsig", "KILL", "--", "bash", "-c", to_fds, "bash",
                f"{t.settings.bin}/netproxy-docker-proxy",
                "-proto", protocol, "-host-ip", host_ip, "-host-port", str(PORT),
                "-container-ip", "172.17.0.2", "-container-port", "80",
                *(["-use-listen-fd"] if listener else [])]
        environment = {**os.environ, "NETPROXY_API": api or f"unix:{t.directory}/vsock_6565",
                       "NETPROXY_DOCKER_PROXY": docker_proxy or ""}
        with t.guest.ns:
            self.process = subprocess.Popen(argv, pass_fds=given, env=environment,
                                            stderr=subprocess.PIPE)
        for fd in given:
            os.close(fd)
        t.cleanup.callback(self.kill)
        with contextlib.closing(os.fdopen(report_r, "rb")) as file:
            assert select.select([file], [], [], REPORT_TIMEOUT * wait.slowness)[0], "no report"
            self.report = file.read().decode()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(10 * wait.slowness)


def start_netproxy(t):
    t.start("--vsock", f"{t.directory}/vsock", "--state", f"{t.directory}/state.json")


def fake_docker_proxy(t):
    path = f"{t.directory}/docker-proxy"
    with open(path, "w") as file:
        file.write(DOCKER_PROXY)
    os.chmod(path, 0o755)
    return path


def fetch(t, namespace, address):
    with namespace.connect(address, PORT) as sock:
        return sock.recv(100)


def listed(t):
    return [(one["local"], one["protocol"], one["remote"]) for one in t.proxy.forwards()]


def expect_none(t):
    wait.until(lambda: not listed(t), "the forward to go")


@case(links=STREAM, start=False)
def test_until_sigterm(t):
    """0.0.0.0 and [::], as Docker starts two for each port: one forward, which ends with the first."""
    start_netproxy(t)
    first = Started(t)
    second = Started(t, "::")
    assert (first.report, second.report) == ("0\n", "0\n"), (first.report, second.report)
    assert listed(t) == [(f":{PORT}", "tcp", f"{FIRST_GUEST}:{PORT}")], listed(t)
    assert t.proxy.get("/v1/forwards")[0]["for"] == f"docker tcp port {PORT}"
    with t.guest.ns.listen(FIRST_GUEST, PORT) as listener:
        with t.host.connect("127.0.0.1", PORT):
            listener.accept()[0].close()
    assert second.end() == 0
    assert len(listed(t)) == 1
    assert first.end(signal.SIGINT) == 0
    expect_none(t)


@case(links=STREAM, start=False)
def test_killed(t):
    """What nobody can end any more ends by itself."""
    start_netproxy(t)
    started = Started(t, protocol="udp", docker_proxy="")
    assert listed(t) == [(f":{PORT}", "udp", f"{FIRST_GUEST}:{PORT}")], (listed(t), started.report)
    started.kill()
    expect_none(t)


@case(links=STREAM, start=False)
def test_port_taken(t):
    start_netproxy(t)
    with t.host.listen("127.0.0.1", PORT):
        started = Started(t, "127.0.0.1", docker_proxy=fake_docker_proxy(t))
    assert started.report.startswith(f"1\ncan't publish tcp port 127.0.0.1:{PORT} on the host: "), \
        started.report
    assert "address already in use" in started.report, started.report
    assert started.process.wait(10) == 1
    assert listed(t) == []


@case(links=STREAM, start=False)
def test_one_address(t):
    """Of the host's loopback only: Docker's docker-proxy listens at the VM's loopback, and a second one where netproxy
    comes in."""
    start_netproxy(t)
    started = Started(t, "127.0.0.1", docker_proxy=fake_docker_proxy(t))
    assert started.report == "0\n", started.report
    assert listed(t) == [(f"127.0.0.1:{PORT}", "tcp", f"{FIRST_GUEST}:{PORT}")], listed(t)
    assert fetch(t, t.host, "127.0.0.1") == ANSWER
    assert fetch(t, t.guest.ns, "127.0.0.1") == ANSWER
    # Killed, it takes both along.
    started.kill()
    expect_none(t)

    def closed():
        try:
            fetch(t, t.guest.ns, "127.0.0.1")
        except ConnectionResetError:
            return False  # it was connected when the listener went
        except ConnectionRefusedError:
            return True
        return False
    wait.until(closed, "docker-proxy to end")


@case(links=STREAM, start=False)
def test_listener_of_dockerd(t):
    """As of Docker 28: the listener comes from dockerd, and is docker-proxy's only."""
    start_netproxy(t)
    with t.guest.ns.listen("127.0.0.1", PORT) as listener:
        started = Started(t, "127.0.0.1", docker_proxy=fake_docker_proxy(t), listener=listener)
    assert started.report == "0\n", started.report
    assert fetch(t, t.guest.ns, "127.0.0.1") == ANSWER
    assert fetch(t, t.host, "127.0.0.1") == ANSWER
    assert not os.path.exists(f"/proc/{started.process.pid}/fd/4")
    assert started.end() == 0


@case(links=STREAM, start=False)
def test_docker_proxy_fails(t):
    """Nothing stays published when the VM's side can't be served."""
    start_netproxy(t)
    with t.guest.ns.listen("127.0.0.1", PORT):
        started = Started(t, "127.0.0.1", docker_proxy=fake_docker_proxy(t))
    assert started.report.startswith("1\n") and "fake: [Errno 98]" in started.report, started.report
    expect_none(t)
    started = Started(t, "127.0.0.1", docker_proxy="/nowhere/docker-proxy")
    assert "can't run /nowhere/docker-proxy: No such file" in started.report, started.report
    expect_none(t)


@case(links=STREAM, start=False)
def test_netproxy_restarts(t):
    start_netproxy(t)
    started = Started(t)
    assert started.report == "0\n", started.report
    assert t.proxy.process.stop(timeout=10) == 0
    again = t.new_proxy("again")
    again.start("--link", t.guest.link_argument(), "--vsock", f"{t.directory}/vsock", "--state",
                f"{t.directory}/state.json")
    t.proxy = again
    wait.until(lambda: listed(t), "the port to be published again", timeout=15)
    assert started.end() == 0


@case(links=STREAM, start=False)
def test_nobody_there(t):
    """Told at once, with all that was tried."""
    start_netproxy(t)
    started = Started(t, api=f"unix:{t.directory}/nobody,unix:{t.directory}/nobody_either")
    assert started.report.startswith("1\n"), started.report
    assert started.report.count("No such file or directory") == 2, started.report
    assert started.process.wait(10) == 1
