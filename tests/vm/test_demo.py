# SPDX-License-Identifier: Apache-2.0
"""scripts/demo, as a newcomer runs it."""

import time

from harness import ROOT, group

# What the issue of the demo allows, once the packages are in.
TIME_LIMIT = 120


@group
class Demo:
    def __init__(self, settings, environment, directory):
        self.settings = settings
        self.host = environment.host
        self.directory = directory

    def diagnostics(self):
        return ""

    def tear_down(self):
        pass

    def demo(self, *args, prefix=()):
        start = time.monotonic()
        done = self.host.run(*prefix, f"{ROOT}/scripts/demo", "--bin", self.settings.bin, *args,
                             check=False, timeout=2 * TIME_LIMIT)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "<h1>Hello from a container in a VM</h1>" in done.stdout.splitlines(), done.stdout
        assert "connection refused" in done.stdout, done.stdout
        took = time.monotonic() - start
        assert took < TIME_LIMIT, f"it took {took:.0f} s"
        return done.stdout

    def test_demo(self):
        assert "http://localhost:8080/" in self.demo()

    def test_demo_with_its_port_taken_and_no_root(self):
        nobody = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
        # Only where the tree may be read by everybody, which a fresh clone of root's may not.
        readable = self.host.run(*nobody, "test", "-x", f"{self.settings.bin}/netproxy", check=False)
        with self.host.listen("127.0.0.1", 8080):
            output = self.demo(prefix=() if readable.returncode else nobody)
        assert "http://localhost:18080/" in output, output
