# SPDX-License-Identifier: Apache-2.0
"""Machines that are kept (netproxy-vm init, start, stop ...): whatever is killed, start starts it again; a snapshot is
restored where it was, with a network."""

import json
import os
import signal
import threading

from bed import wait

from harness import group
from managed import NAME, START_TIMEOUT, Managed


@group
class Machines(Managed):
    def test_init_and_start(self):
        self.init("-balloon", "256")
        status, said = self.init("-balloon", "256", check=False)
        assert status == 1 and "already" in said, said
        assert self.state() == "stopped"
        status, said = self.vm("pause", NAME, check=False)
        assert status == 1 and "it isn't running" in said, said
        _, said = self.vm("start", NAME)
        assert "is ready" in said, said
        assert self.state() == "running"
        assert json.loads(self.vm("list", "-format", "json")[1])[0]["name"] == NAME
        self.use_network()

    def test_inherits_nothing(self):
        for name in ("lock", "qemu.pid", "netproxy.pid"):
            files = self.open_files(name)
            assert self.left_open.name not in files, (name, files)
            assert name == "lock" or f"{self.machine}/lock" not in files, (name, files)

    def test_rest(self):
        assert self.rest("GET", "/vm/state")[1]["state"] == "VirtualMachineStateRunning"
        assert self.rest("GET", "/vm/inspect")[1]["memoryBytes"] == 256 << 20
        assert self.rest("POST", "/vm/state", {"state": "Pause"})[0] == 202
        assert self.rest("GET", "/vm/state")[1]["canResume"]
        assert self.state() == "paused"
        status, answer = self.rest("POST", "/vm/state", {"state": "Stop"})
        assert status == 409 and "resume" in answer["error"], answer
        assert self.rest("POST", "/vm/state", {"state": "Resume"})[0] == 202
        assert self.rest("POST", "/vm/state", {"state": "Jump"})[0] == 400
        assert self.rest("PUT", "/vm/state")[0] == 405
        assert self.rest("GET", "/nowhere")[0] == 404

    def test_balloon(self):
        before = int(self.guest("awk '/MemTotal/ {print $2}' /proc/meminfo"))
        assert before > 128 << 10, before
        self.vm("balloon", "set", NAME, "96")
        status, said = self.vm("balloon", "set", NAME, "32", check=False)
        assert status == 1 and "-balloon-min" in said, said
        assert self.vm("balloon", "get", NAME)[0] == 0

    def test_port(self):
        self.vm("port", "add", NAME, "127.0.0.1:18080:80")
        assert "127.0.0.1:18080" in self.vm("port", "ls", NAME)[1]
        self.vm("port", "rm", NAME, "127.0.0.1:18080")
        assert "127.0.0.1:18080" not in self.vm("port", "ls", NAME)[1]

    def test_proxy_killed(self):
        """netproxy is started again; the guest's network works as before, and vsock is plugged in anew."""
        os.kill(self.pid("netproxy.pid"), signal.SIGKILL)
        wait.until(lambda: "network-back" in self.events(), "the network is back", 60)
        wait.until(lambda: "192.168.65.1" in self.guest("nslookup -type=a gateway.internal"), "names to be answered")
        wait.until(lambda: "vsock-back" in self.events(), "vsock is back", 60)
        assert self.state() == "running"

    def test_snapshot(self):
        """Saved, goes on, is stopped, restored: where it was, with a network that works."""
        self.guest("echo before > /tmp/mark")
        self.vm("snapshot", "save", NAME, "first")
        assert self.state() == "running"
        self.use_network()
        self.guest("echo after > /tmp/mark")
        self.vm("pause", NAME)
        self.vm("snapshot", "save", NAME, "second")
        assert self.state() == "paused", "a paused one stays paused"
        self.vm("resume", NAME)
        listed = json.loads(self.vm("snapshot", "list", "-format", "json", NAME)[1])
        assert [(one["name"], one["state"]) for one in listed] == [("second", "paused"), ("first", "running")]
        assert listed[1]["size"] > 1 << 20, listed
        status, said = self.vm("snapshot", "restore", NAME, "first", check=False)
        assert status == 1 and "stop it first" in said, said
        self.vm("stop", NAME)
        assert self.state() == "stopped"
        self.vm("snapshot", "restore", NAME, "first")
        assert self.guest("cat /tmp/mark") == "before\n"
        self.use_network()
        self.vm("snapshot", "delete", NAME, "second")
        assert len(json.loads(self.vm("snapshot", "list", "-format", "json", NAME)[1])) == 1

    def kill_and_start(self, pid, state):
        os.kill(pid, signal.SIGKILL)
        wait.until(lambda: self.state() in state, f"the machine is {state}", 30)
        self.vm("start", NAME)
        assert self.state() == "running"

    def test_qemu_killed(self):
        self.kill_and_start(self.pid("qemu.pid"), ("crashed",))
        assert "signal 9" in open(f"{self.machine}/end.json").read()

    def test_supervisor_killed(self):
        self.kill_and_start(self.pid("lock"), ("crashed",))

    def test_two_at_once(self):
        """Of many starts at once one starts it, and the others say why they don't."""
        self.vm("kill", NAME)
        processes = [self.popen("start", NAME) for _ in range(4)]
        results = [process.communicate(timeout=START_TIMEOUT) for process in processes]
        good = [process.returncode for process in processes].count(0)
        assert good == 1, results
        refused = [err for (_, err), process in zip(results, processes) if process.returncode]
        assert all("running already" in err or "starting already" in err for err in refused), refused
        assert self.state() == "running"

    def test_killed_while_it_starts(self):
        """The supervisor, QEMU and netproxy, each killed before the guest has booted."""
        for name in ("qemu.pid", "lock"):
            self.vm("kill", NAME)
            starting = self.popen("start", NAME)
            thread = threading.Thread(target=starting.communicate)
            thread.start()
            wait.until(lambda: self.state() == "starting" and os.path.exists(f"{self.machine}/qemu.pid"),
                       "it is starting", 30)
            os.kill(self.pid(name), signal.SIGKILL)
            thread.join(30)
            assert starting.returncode not in (0, None), "a start that was killed says so"
            wait.until(lambda: self.state() == "crashed", "it has crashed", 30)
        self.vm("start", NAME)

    def test_stop(self):
        self.vm("stop", NAME)
        assert self.state() == "stopped"
        with open(f"{self.machine}/console.log") as file:
            assert "powering off" in file.read()
        self.vm("stop", NAME)
        self.vm("rm", NAME)
        assert not os.path.exists(self.machine)
