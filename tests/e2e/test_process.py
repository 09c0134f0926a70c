# SPDX-License-Identifier: Apache-2.0
"""netproxy as a process: start, end, what it leaves on the disk, and guests that come and go."""

import os
import signal
import socket
import time

from bed import process, traffic, wait, world
from bed.cases import MAIN, MIB, STREAM, case
from bed.proxy import FIRST_GUEST, GATEWAY


def end(t, number):
    """Ends netproxy by a signal, in time, with status 0 and nothing left behind."""
    start = time.monotonic()
    t.proxy.process.send_signal(number)
    status = t.proxy.process.wait()
    took = time.monotonic() - start
    assert status == 0, f"status {status} after signal {number}"
    assert took < 1 * wait.slowness, f"took {took:.1f} s to end"
    for path in (t.proxy.api, t.proxy.pid_file, *(one.socket for one in t.guests)):
        assert not os.path.exists(path), f"{path} was left behind"
    t.proxy.process = None


@case(links=MAIN)
def test_sigterm(t):
    end(t, signal.SIGTERM)


@case(links=MAIN)
def test_sigint(t):
    end(t, signal.SIGINT)


@case(links=MAIN, args=["--publish", f"8080:{FIRST_GUEST}:80"])
def test_sigterm_when_busy(t):
    """Open connections in all states don't hold up the end."""
    for _ in range(5):
        t.pair()
    client, far = t.pair()
    traffic.stuff(client, still_for=0.2)
    pending = t.keep(t.guest.ns.socket())
    pending.setblocking(False)
    pending.connect_ex((world.BLACK_HOLE, 80))
    t.keep(t.guest.ns.udp()).sendto(b"x", (world.ADDRESS, 9))
    t.keep(t.guest.ns.listen(FIRST_GUEST, 80))
    t.keep(t.host.connect("127.0.0.1", 8080))
    end(t, signal.SIGTERM)


@case()
def test_pid_file(t):
    with open(t.proxy.pid_file) as file:
        assert int(file.read()) == t.proxy.process.pid


def start_fails(t, *args, say):
    """netproxy refuses to start: status not 0, one clear line that contains all of `say`."""
    one = t.new_proxy(f"refused{len(os.listdir(t.directory))}")
    try:
        one.start(*args, *([] if "--link" in args else one.idle_link()))
    except AssertionError as error:
        text = str(error)
        assert "ended at start" in text, text
        output = one.process.output()
        for part in say:
            assert part in output + one.log(), f"netproxy {args}: {output!r} lacks {part!r}"
        assert not os.path.exists(one.pid_file), "a netproxy that didn't start has left its pid file"
        return
    raise AssertionError(f"netproxy {args} started")


@case(start=False)
def test_exit_fd_is_no_pipe(t):
    """Found wrong after the pid file was written."""
    start_fails(t, "--exit-fd", "0", say=["--exit-fd 0", "a pipe or a socket"])


@case(start=False)
def test_wrong_arguments(t):
    """Each mistake is refused at start, with words that name it."""
    missing = f"{t.directory}/no/such/directory/sock"
    too_long = "/tmp/" + "x" * 120
    for args, say in (
            (["--no-such-option"], ["no-such-option"]),
            (["--link", "carrier-pigeon:x"], ["carrier-pigeon"]),
            (["--link", f"qemu:{missing}"], [missing]),
            (["--link", f"qemu:{too_long}"], [too_long]),
            (["--link", "tap:eth0,netns=/no/such/netns"], ["/no/such/netns"]),
            (["--link", "tap:an-interface-name-too-long"], ["an-interface-name-too-long"]),
            (["--publish", "8080"], ["8080"]),
            (["--publish", "99999:80"], ["99999"]),
            (["--publish", f"80:{FIRST_GUEST}:80/sctp"], ["sctp"]),
            (["--subnet", "192.168.65.0/33"], ["192.168.65.0/33"]),
            (["--subnet", "elsewhere"], ["elsewhere"]),
            (["--mtu", "12"], ["12"]),
            (["--mtu", "many"], ["many"]),
            (["--log-level", "chatty"], ["chatty"])):
        start_fails(t, *args, say=say)


@case(start=False)
def test_notify_systemd(t):
    """As the service of Type=notify in system/; only where it is asked for, as others inherit the variable."""
    path = f"{t.directory}/notify.sock"
    manager = t.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    manager.bind(path)
    manager.setblocking(False)
    for args, said in (([], None), (["--notify-systemd"], b"READY=1")):
        one = t.new_proxy(f"notify{len(args)}")
        one.start(*args, *one.idle_link(), wrapper=["env", f"NOTIFY_SOCKET={path}"])
        try:
            heard = manager.recv(100)
        except BlockingIOError:
            heard = None
        assert heard == said, f"netproxy {args} said {heard} to systemd"


@case(links=STREAM)
def test_live_socket_is_refused(t):
    """Where something listens, a second netproxy doesn't start, and harms the first in no way."""
    start_fails(t, "--link", t.guest.link_argument(), say=[t.guest.socket])
    start_fails(t, "--api", f"unix:{t.proxy.api}", say=[t.proxy.api])
    assert t.guest.ping(GATEWAY)
    assert t.proxy.forwards() == []


@case()
def test_other_file_is_refused(t):
    """A path where something lies that is no socket is left alone."""
    path = f"{t.directory}/precious"
    with open(path, "w") as file:
        file.write("data")
    start_fails(t, "--link", f"qemu:{path}", say=[path])
    with open(path) as file:
        assert file.read() == "data"


@case(args=["--publish", "8080:192.168.65.2:80"])
def test_taken_port_is_refused(t):
    start_fails(t, "--publish", "8080:192.168.65.2:80", say=["8080", "in use"])


@case(links=STREAM)
def test_stale_sockets_are_taken_over(t):
    """After a kill -9 the same command line starts again."""
    t.proxy.process.kill()
    t.guest.detach()
    assert os.path.exists(t.guest.socket) and os.path.exists(t.proxy.api)
    t.start()
    assert t.guest.ping(GATEWAY)


@case(links=("stream", "stream-tcp"))
def test_guest_comes_back(t):
    """Ten kills of the guest in mid-traffic, ten returns: the same address, no fd and no memory more."""
    def visit():
        client, far = t.pair()
        traffic.one_way(client, far, 4 * MIB)
        client, far = t.pair()
        sender = traffic.send(client, 1, 1024 * MIB)
        traffic.read_exactly(far, MIB)
        t.guest.detach()
        sender.kill()
        client.close()
        far.close()
        t.guest.attach()
        assert t.guest.dhcp()["ip"] == FIRST_GUEST

    visit()
    fds, rss = t.settled_fds(), t.proxy.rss_kib()
    for _ in range(10):
        visit()
    assert t.guest.ping(world.ADDRESS)
    t.expect_fds(fds + 1)
    # What connections took goes back to the host some seconds after they have ended.
    wait.until(lambda: t.proxy.rss_kib() - rss < t.rss_bound_kib(4),
               f"ten returns of the guest cost less than 4 MiB, from {rss} KiB", 15.0)


@case(links=STREAM)
def test_flows_of_a_gone_guest_end(t):
    """When the guest has gone for good, the world's ends of its connections are told."""
    fds = t.settled_fds()
    pairs = [t.pair() for _ in range(10)]
    t.guest.detach()
    for client, _ in pairs:
        client.close()
    t.guest.attach()
    t.guest.dhcp()
    # The guest's kernel has forgotten them: what the far side sends is answered by a reset, if netproxy
    # hasn't ended them before.
    for _, far in pairs:
        far.settimeout(15 * wait.slowness)
        try:
            far.sendall(b"still there?")
            assert far.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass
        far.close()
    t.expect_fds(fds)


@case(links=STREAM)
def test_log_rotation(t):
    """SIGHUP reopens the log file."""
    os.rename(t.proxy.log_file, t.proxy.log_file + ".old")
    t.proxy.process.send_signal(signal.SIGHUP)
    wait.until(lambda: os.path.exists(t.proxy.log_file), "a new log file")


@case(links=MAIN)
def test_idle_costs_nothing(t):
    """With a guest attached and nothing to do, netproxy sleeps."""
    before = process.cpu_seconds(t.proxy.process.pid)
    start = time.monotonic()
    while time.monotonic() - start < 2:  # the time over which idleness is measured
        assert t.proxy.process.running()
        time.sleep(0.1)
    used = process.cpu_seconds(t.proxy.process.pid) - before
    assert used <= 0.03 * wait.slowness, f"used {used:.2f} s of CPU in 2 s of idleness"


@case(links=STREAM)
def test_many_connections_to_a_link_socket(t):
    """Clients that connect to the link's socket and say nothing, or leave again, cost nothing in the end."""
    before = t.settled_fds()
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(t.guest.socket)
    assert t.guest.ping(GATEWAY)
    t.expect_fds(before)
