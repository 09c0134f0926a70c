# SPDX-License-Identifier: Apache-2.0
"""netproxyctl's commands that show what goes on."""

import json
import os

from bed import process, wait
from bed.cases import STREAM, case
from bed.proxy import FIRST_GUEST, GATEWAY


def ctl(t, *args, check=True):
    return t.host.run(f"{t.settings.bin}/netproxyctl", "--api", f"unix:{t.proxy.api}", *args, check=check)


@case(links=STREAM)
def test_flows_and_top(t):
    client, far = t.pair()
    text = ctl(t, "flows").stdout
    assert "PROTOCOL" in text and "%s:%d" % client.getsockname() in text and "open" in text, text
    assert json.loads(ctl(t, "flows", "--json").stdout)[0]["protocol"] == "tcp"
    text = ctl(t, "top").stdout
    assert "stream" in text and "KB/S" in text and "tcp" in text, text
    far.close()


@case(links=STREAM)
def test_events(t):
    shown = process.Process([f"{t.settings.bin}/netproxyctl", "--api", f"unix:{t.proxy.api}", "events"],
                            f"{t.directory}/events", t.host)
    t.cleanup.callback(shown.kill)
    shown.wait_output("subscribed")
    t.proxy.expose("127.0.0.1:9001", f"{FIRST_GUEST}:80")
    shown.wait_output(f"forward_added local=127.0.0.1:9001 remote={FIRST_GUEST}:80 protocol=tcp owner=host")


@case(links=STREAM)
def test_pcap(t):
    path = f"{t.directory}/packets"
    shown = process.Process([f"{t.settings.bin}/netproxyctl", "--api", f"unix:{t.proxy.api}", "pcap",
                             f"guest={FIRST_GUEST}"], path, t.host)
    t.cleanup.callback(shown.kill)

    def echoed():
        t.guest.ping(GATEWAY)
        with open(path, "rb") as file:
            return len(file.read()) > 400
    wait.until(echoed, "packets to be shown", 10)
    with open(path, "rb") as file:
        assert file.read(4) == b"\x0a\x0d\x0d\x0a"
    done = ctl(t, "pcap", "guest=nobody", check=False)
    assert done.returncode == 1 and "there is no guest" in done.stderr, done
    done = ctl(t, "pcap", "nonsense", check=False)
    assert done.returncode == 2 and "expected all" in done.stderr, done


@case(links=STREAM)
def test_capture_file(t):
    """--pcap: all of it, for its owner only."""
    path = f"{t.directory}/all.pcapng"
    t.proxy.finish()
    t.start("--pcap", path)
    t.guest.ping(GATEWAY)
    t.proxy.finish()
    assert os.stat(path).st_mode & 0o777 == 0o600
    with open(path, "rb") as file:
        data = file.read()
    assert data[:4] == b"\x0a\x0d\x0d\x0a" and t.guest.mac.replace(":", "") in data.hex(), len(data)
    t.start()
