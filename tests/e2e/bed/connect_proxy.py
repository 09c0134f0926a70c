# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy in the world that does CONNECT and nothing else, and servers behind it that say who came."""

import select
import ssl
import threading

from . import traffic, wait


class _Threads:
    """A listener whose connections have a thread each; stop() ends it."""

    def __init__(self, listener):
        self.listener = listener
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        listener.settimeout(0.1)
        self._thread.start()

    def _run(self):
        while not self._ending:
            try:
                sock, peer = self.listener.accept()
            except TimeoutError:
                continue
            sock.settimeout(10 * wait.slowness)
            threading.Thread(target=self._guarded, args=(sock, peer), daemon=True).start()

    def _guarded(self, sock, peer):
        try:
            with sock:
                self.serve(sock, peer)
        except OSError:
            pass

    def serve(self, sock, peer):
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ending = True
        self._thread.join()
        self.listener.close()


def _read_head(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(1)  # what comes behind the head stays where it is
        if not piece:
            raise OSError("no head")
        data += piece
    return data.decode()


class ConnectProxy(_Threads):
    """`requests` are the heads that came. `refuse` maps targets to the status line they get; `route` maps targets
    to the (address, port) that they are, others being literal addresses."""

    def __init__(self, namespace, address, port):
        self.namespace = namespace
        self.requests = []
        self.refuse = {}
        self.route = {}
        super().__init__(namespace.listen(address, port))

    def targets(self):
        return [head.split(" ", 2)[1] for head in self.requests]

    def serve(self, sock, peer):
        head = _read_head(sock)
        self.requests.append(head)
        method, target = head.split(" ", 2)[:2]
        if method != "CONNECT":
            sock.sendall(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            return
        if target in self.refuse:
            sock.sendall(f"HTTP/1.1 {self.refuse[target]}\r\nContent-Length: 0\r\n\r\n".encode())
            return
        host, port = self.route.get(target) or target.rsplit(":", 1)
        with self.namespace.connect(host, int(port)) as far:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n")
            self._splice(sock, far)

    @staticmethod
    def _splice(a, b):
        other = {a: b, b: a}
        left = {a, b}
        while left:
            for sock in select.select(list(left), [], [])[0]:
                data = sock.recv(65536)
                if data:
                    other[sock].settimeout(None)
                    other[sock].sendall(data)
                else:
                    left.discard(sock)
                    other[sock].shutdown(1)


class WhoServer(_Threads):
    """Answers each HTTP request with the address that it came from; with TLS where `certificate` is given."""

    def __init__(self, listener, certificate=None):
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        super().__init__(listener)

    def serve(self, sock, peer):
        if self._tls:
            sock = self._tls.wrap_socket(sock, server_side=True)
        _read_head(sock)
        body = peer[0]
        sock.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n"
                     f"Connection: close\r\n\r\n{body}".encode())
        if self._tls:
            sock.unwrap().close()


class Greeter(_Threads):
    """Speaks first, as SMTP does, and returns what it hears."""

    def serve(self, sock, peer):
        sock.sendall(b"hello\n")
        sock.sendall(traffic.read_exactly(sock, 5))


def certificate(directory, namespace):
    """Makes a self-signed certificate and its key, in one file."""
    path = f"{directory}/certificate.pem"
    namespace.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                  "-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", f"{path}.key", "-out", f"{path}.crt")
    with open(path, "w") as both:
        for part in ("key", "crt"):
            with open(f"{path}.{part}") as file:
                both.write(file.read())
    return path
