# SPDX-License-Identifier: Apache-2.0
"""Traffic: bulk streams through nettool, echo servers, and what reads well in tests."""

import os
import select
import socket
import struct
import subprocess
import threading
import time

from . import wait

nettool = "nettool"  # path; the runner sets it
STALL = 30
SO_RCVBUFFORCE = 33  # socket(7); not in Python's socket module


class Transfer:
    """One direction of a stream, moved by a nettool process on an inherited socket."""

    def __init__(self, verb, sock, seed, size, end):
        sock.setblocking(True)
        argv = ["setpriv", "--pdeathsig", "KILL", "--", nettool, verb, str(sock.fileno()),
                str(seed), str(size), "--stall", str(int(STALL * wait.slowness))]
        self._size = size
        self._popen = subprocess.Popen(argv + (["--end"] if end else []), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, pass_fds=[sock.fileno()])

    def finish(self):
        """Waits for the end; an AssertionError says what was wrong with the stream."""
        try:
            _, error = self._popen.communicate(timeout=(STALL + self._size / 5e6) * wait.slowness)
        except subprocess.TimeoutExpired:
            self.kill()
            raise wait.Late(f"a transfer of {self._size} bytes crawls") from None
        if self._popen.returncode:
            raise AssertionError(error.decode().strip() or
                                 f"nettool: exit status {self._popen.returncode}")

    def kill(self):
        self._popen.kill()
        self._popen.communicate()


def send(sock, seed, size, end=True):
    return Transfer("send", sock, seed, size, end)


def recv(sock, seed, size, end=True):
    return Transfer("recv", sock, seed, size, end)


def finish(*transfers):
    """Waits for all; the receivers' words come first, as they say more."""
    try:
        for transfer in transfers:
            transfer.finish()
    finally:
        for transfer in transfers:
            transfer.kill()


def finish_cut_off(sender):
    """Waits for a sender whose peer has gone, and demands that it was told."""
    try:
        sender.finish()
    except AssertionError as error:
        if "reset by peer" in str(error) or "Broken pipe" in str(error):
            return
        raise
    raise AssertionError("all of the stream went to a peer that had gone")


def one_way(source, sink, size, seed=1):
    """Moves a stream with its end, and compares it."""
    finish(recv(sink, seed, size), send(source, seed, size))


def read_exactly(sock, size):
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise AssertionError(f"the stream ended after {len(data)} of {size} bytes")
        data += piece
    return bytes(data)


def read_to_end(sock):
    data = bytearray()
    while piece := sock.recv(65536):
        data += piece
    return bytes(data)


def reset(sock):
    """Closes with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def accept(listener, timeout=10):
    listener.settimeout(timeout * wait.slowness)
    sock, _ = listener.accept()
    sock.settimeout(timeout * wait.slowness)
    return sock


def pair(client_namespace, server_namespace, address=None, bind="0.0.0.0"):
    """A connection from one namespace to a new listener in another; returns (client, server)."""
    with server_namespace.listen(bind) as listener:
        client = client_namespace.connect(address, listener.getsockname()[1])
        return client, accept(listener)


def stuff(sock, still_for=1.0, chunk=bytes(65536)):
    """Writes to a peer that doesn't read until nothing goes in any more; returns the bytes taken."""
    sock.setblocking(False)
    total, since = 0, time.monotonic()
    deadline = since + 60 * wait.slowness
    while time.monotonic() - since < still_for:
        select.select([], [sock], [], 0.05)
        try:
            total += sock.send(chunk)
            since = time.monotonic()
        except BlockingIOError:
            pass
        if time.monotonic() > deadline:
            raise wait.Late("a stream that nobody reads went on for a minute")
    sock.setblocking(True)
    return total


def seconds(function, *args):
    start = time.monotonic()
    function(*args)
    return time.monotonic() - start


def failed_connect(host, port):
    """Seconds until a client on `host` learned that nobody is there: refused, reset or closed."""
    def attempt():
        try:
            with host.connect("127.0.0.1", port) as sock:
                sock.settimeout(10 * wait.slowness)
                assert sock.recv(1) == b"", "data from a server that doesn't exist"
        except (ConnectionRefusedError, ConnectionResetError):
            pass
    return seconds(attempt)


class Server(threading.Thread):
    """A background server on sockets of any namespace; stop() ends it and closes them."""

    def __init__(self, *sockets):
        super().__init__(daemon=True)
        self.sockets = list(sockets)
        self._by_fd = {}
        self._wake_r, self._wake_w = os.pipe()
        self.start()

    def run(self):
        poller = select.epoll()
        by_fd = self._by_fd
        by_fd.update((sock.fileno(), sock) for sock in self.sockets)
        for fd in by_fd:
            by_fd[fd].setblocking(False)
            poller.register(fd, select.EPOLLIN)
        poller.register(self._wake_r, select.EPOLLIN)
        while True:
            for fd, _ in poller.poll():
                if fd == self._wake_r:
                    return
                try:
                    self.serve(by_fd[fd], poller, by_fd)
                except BlockingIOError:
                    pass
                except OSError:
                    self.drop(by_fd[fd], poller, by_fd)

    def serve(self, sock, poller, by_fd):
        raise NotImplementedError

    def drop(self, sock, poller, by_fd):
        if sock in self.sockets:
            return
        poller.unregister(sock.fileno())
        del by_fd[sock.fileno()]
        sock.close()

    def stop(self):
        os.write(self._wake_w, b"x")
        self.join()
        for sock in self._by_fd.values():
            sock.close()
        os.close(self._wake_r)
        os.close(self._wake_w)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class UdpEcho(Server):
    """Returns each datagram; `seen` are the sources, in order of first appearance."""

    def __init__(self, *sockets):
        self.seen = {}
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
        super().__init__(*sockets)

    def serve(self, sock, poller, by_fd):
        for _ in range(64):
            data, source = sock.recvfrom(65536)
            self.seen[source] = None
            sock.sendto(data, source)


class TcpEcho(Server):
    """Returns what it reads, on any number of connections; for small exchanges."""

    def __init__(self, listener):
        self.peers = []
        self.open = 0
        super().__init__(listener)

    def serve(self, sock, poller, by_fd):
        if sock is self.sockets[0]:
            for _ in range(256):
                conn, peer = sock.accept()
                conn.settimeout(2)
                self.peers.append(peer)
                self.open += 1
                by_fd[conn.fileno()] = conn
                poller.register(conn.fileno(), select.EPOLLIN)
            return
        data = sock.recv(65536)
        if data:
            sock.sendall(data)
        else:
            self.drop(sock, poller, by_fd)

    def drop(self, sock, poller, by_fd):
        if sock not in self.sockets:
            self.open -= 1
        super().drop(sock, poller, by_fd)
