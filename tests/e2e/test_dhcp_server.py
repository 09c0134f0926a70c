# SPDX-License-Identifier: Apache-2.0
"""DHCP as the options configure it, message by message, under load, and over a restart."""

import json
import os
import re
import socket
import time

from bed import dhcp, wait
from bed.cases import MAIN, STREAM, case
from bed.guest import IFNAME
from bed.proxy import FIRST_GUEST, GATEWAY
from bed.dhcp import ACK, DECLINE, DISCOVER, INFORM, NAK, RELEASE, REQUEST

LOAD = 1000
FIRST_MAC = "52:54:00:00:65:02"  # of the bed's first guest


def client(t, guest=None, **options):
    return t.keep(dhcp.Client(guest or t.guest, **options))


def dhcpload(t, guest, *options):
    """Runs the load tool in the guest; returns its figures."""
    done = guest.ns.run(f"{t.settings.bin}/dhcpload", "--interface", IFNAME, *options, check=False,
                        timeout=30 * wait.slowness)
    if not done.stdout.startswith("leases "):
        raise AssertionError(f"dhcpload: {done.stdout}{done.stderr}")
    words = done.stdout.split()
    return dict(zip(words[::2], map(float, words[1::2])))


# ---- Messages ----

@case(links=STREAM, dhcp=False)
def test_inform(t):
    """Options for who has an address by other means; no address, no lease."""
    t.guest.ns.ip("addr", "add", "192.168.65.77/24", "dev", IFNAME)
    answer = client(t).ask(INFORM, ciaddr="192.168.65.77", ask=(1, 3, 6, 15, 51, 58))
    assert answer and answer.type == ACK and answer.yiaddr == "0.0.0.0"
    assert socket.inet_ntoa(answer.options[3]) == GATEWAY, answer.options
    assert not {51, 58, 59} & answer.options.keys(), answer.options
    assert t.proxy.leases() == {}


@case(links=STREAM, dhcp=False)
def test_address_of_another_network(t):
    """INIT-REBOOT with what is wrong here: NAK, so that the client starts afresh; with what is free: ACK."""
    one = client(t)
    assert one.ask(REQUEST, requested="10.1.2.3").type == NAK
    assert one.ask(REQUEST, requested=GATEWAY).type == NAK
    assert one.ask(REQUEST, requested="192.168.65.99").type == ACK
    # Selecting another server's offer is none of our business.
    assert one.ask(REQUEST, requested="192.168.65.99", server="192.168.65.9", timeout=0.3) is None


@case(links=STREAM, dhcp=False)
def test_rapid_commit(t):
    answer = client(t).ask(DISCOVER, o80=b"")
    assert (answer.type, answer.yiaddr) == (ACK, FIRST_GUEST) and 80 in answer.options


@case(links=STREAM, dhcp=False)
def test_declined_address_rests(t):
    one = client(t)
    assert one.obtain() == FIRST_GUEST
    one.ask(DECLINE, requested=FIRST_GUEST, server=GATEWAY, timeout=0.1)
    assert t.proxy.leases() == {}
    assert one.obtain() == "192.168.65.3"


@case(links=STREAM, dhcp=False)
def test_relay_agents_are_not_served(t):
    """They could speak in any guest's name; the log says what happened."""
    one = client(t, chaddr="52:54:00:99:99:99")
    assert one.ask(DISCOVER, giaddr="192.168.65.66", timeout=0.3) is None
    assert one.ask(DISCOVER, timeout=0.3) is None
    assert "as a relay agent, which isn't served here" in t.proxy.log()
    assert "in the name of another MAC" in t.proxy.log()
    assert client(t).obtain() == FIRST_GUEST


@case(links=STREAM, dhcp=False)
def test_one_address_for_a_mac(t):
    """Firmware, initramfs and system call themselves differently, one after the other."""
    assert client(t).obtain() == FIRST_GUEST
    assert client(t, client_id=b"\x01initramfs").obtain() == FIRST_GUEST
    assert client(t, client_id=b"\xffsystem").obtain() == FIRST_GUEST
    assert t.proxy.leases() == {FIRST_GUEST: t.guest.mac}


@case(links=STREAM, dhcp=False, args=["--dhcp-by-id"])
def test_an_address_for_each_identifier(t):
    assert client(t).obtain() == FIRST_GUEST
    one = client(t, client_id=b"\x01one")
    assert one.obtain() == "192.168.65.3"
    assert one.ask(REQUEST, requested=FIRST_GUEST).type == NAK


# ---- Options ----

@case(links=STREAM, dhcp=False, guests=2,
      args=["--dhcp-host", f"{FIRST_MAC}=192.168.65.50,web", "--dhcp-host", "id:ff01:02=192.168.65.51"])
def test_static_leases(t):
    lease = t.guests[0].dhcp("-O", "hostname", "-x", "hostname:other")
    assert (lease["ip"], lease["hostname"]) == ("192.168.65.50", "web"), lease
    assert t.guests[1].dhcp("-r", "192.168.65.50")["ip"] == FIRST_GUEST
    assert client(t, t.guests[1], client_id=b"\xff\x01\x02").obtain() == "192.168.65.51"


@case(links=STREAM, dhcp=False, guests=2, args=["--dhcp-range", "192.168.65.100-192.168.65.100"])
def test_range_and_exhaustion(t):
    """One address for two guests: no answer for the second, and it gets what the first gives back."""
    assert t.guests[0].dhcp()["ip"] == "192.168.65.100"
    two = client(t, t.guests[1])
    assert two.ask(DISCOVER, requested="192.168.65.50", timeout=0.3) is None
    assert two.ask(REQUEST, requested="192.168.65.100").type == NAK
    client(t, t.guests[0]).ask(RELEASE, ciaddr="192.168.65.100", server=GATEWAY, timeout=0.1)
    assert two.obtain() == "192.168.65.100"


@case(links=STREAM, dhcp=False, args=["--no-dhcp"])
def test_no_dhcp(t):
    assert client(t).ask(DISCOVER, timeout=0.3) is None
    t.guest.ns.ip("addr", "add", "192.168.65.9/24", "dev", IFNAME)
    assert t.guest.ping(GATEWAY)


@case(links=STREAM, dhcp=False,
      args=["--dhcp-boot", "boot/ipxe.efi,192.168.65.254", "--dhcp-option", "3=",
            "--dhcp-option", "43!=hex:0104c0a84101", "--dhcp-option", "2=3600",
            "--dhcp-option", "224=text:hello"])
def test_further_options(t):
    one = client(t)
    answer = one.ask(DISCOVER, ask=(2, 3, 66, 67, 224))
    assert (answer.siaddr, answer.file) == ("192.168.65.254", "boot/ipxe.efi")
    assert answer.options[66] == b"192.168.65.254" and answer.options[67] == b"boot/ipxe.efi"
    assert answer.options[2] == (3600).to_bytes(4, "big") and answer.options[224] == b"hello"
    assert answer.options[43] == bytes.fromhex("0104c0a84101"), "not sent unasked"
    assert 3 not in answer.options
    assert 224 not in one.ask(DISCOVER, ask=(1,)).options


@case(start=False)
def test_contradictions(t):
    """What can't work is refused with a reason, before anything starts."""
    mac = "52:54:00:00:00:01"
    for args, words in (
            (["--dhcp-host", f"{mac}=10.0.0.1"], "isn't a host address of the subnet"),
            (["--dhcp-host", f"{mac}={GATEWAY}"], "the gateway's address"),
            (["--dhcp-host", f"{mac}=192.168.65.254"], "the host alias' address"),
            (["--dhcp-host", f"{mac}=192.168.65.5", "--dhcp-host", f"{mac}=192.168.65.6"], "another static lease"),
            (["--dhcp-host", "x=192.168.65.5"], "expected MAC=ADDRESS"),
            (["--dhcp-range", "192.168.65.9-192.168.65.5"], "is empty"),
            (["--dhcp-range", "192.168.65.9-10.0.0.1"], "isn't within"),
            (["--dhcp-option", "51=60"], "--lease-time"),
            (["--dhcp-option", "53=1"], "the protocol itself"),
            (["--dhcp-option", "224=x"], "the value's type"),
            (["--dhcp-route", "10.0.0.0/8=10.0.0.1"], "isn't in the subnet"),
            (["--no-dhcp", "--ntp", "192.168.65.254"], "no other option about DHCP")):
        done = t.host.run(t.proxy.binary, *t.proxy.idle_link(), *args, check=False)
        assert done.returncode == 2 and words in done.stderr, (args, done.returncode, done.stderr)


# ---- Many ----

@case(links=MAIN, dhcp=False, args=["--subnet", "10.50.0.0/21", "--dhcp-max-per-guest", "0"])
def test_load(t):
    """A thousand clients with MACs of their own, behind one guest."""
    got = dhcpload(t, t.guest, "--clients", str(LOAD))
    assert got["distinct"] == LOAD and got["failed"] == 0, got
    assert len(t.proxy.leases()) == LOAD
    again = dhcpload(t, t.guest, "--clients", str(LOAD), "--rapid")
    assert again["distinct"] == LOAD, again
    assert len(t.proxy.leases()) == LOAD, "who asks again got another address"


@case(links=STREAM, dhcp=False, guests=2, args=["--subnet", "192.168.65.0/28", "--dhcp-max-per-guest", "8"])
def test_one_guest_leaves_some_for_others(t):
    t.guests[0].dhcp()
    got = dhcpload(t, t.guests[0], "--clients", "20", "--window", "20", "--tries", "1")
    assert (got["leases"], got["failed"]) == (7, 13), got
    assert "has 8, the most that one may have" in t.proxy.log()
    assert t.guests[1].dhcp()["ip"]
    assert t.guests[0].dhcp()["ip"] == FIRST_GUEST


# ---- Over a restart ----

def saved_leases(t):
    """The leases in the state file. It is there from the start, empty, for it is locked."""
    with open(f"{t.directory}/state") as file:
        return json.loads(file.read() or "{}").get("dhcp", {}).get("leases", [])


def restart(t, *args):
    if t.proxy.process.running():
        t.proxy.finish()
    for one in t.guests:
        one.detach()
    t.proxy = t.new_proxy(f"proxy-{time.monotonic_ns()}")
    t.start("--state", f"{t.directory}/state", *args)


@case(links=STREAM, dhcp=False, guests=2, start=False)
def test_leases_survive_a_restart(t):
    """Renewing and rebinding go on as if nothing had happened, and nobody gets another's address."""
    t.start("--state", f"{t.directory}/state")
    t.guests[1].dhcp()  # takes the first address
    one = client(t, t.guests[0], client_id=b"\xffone")
    assert one.obtain() == "192.168.65.3"
    wait.until(lambda: len(saved_leases(t)) == 2, "the leases in the state file")
    assert os.stat(f"{t.directory}/state").st_mode & 0o777 == 0o600
    before = t.proxy.leases()
    restart(t)
    assert t.proxy.leases() == before
    t.guests[0].ns.ip("addr", "add", "192.168.65.3/24", "dev", IFNAME)
    one = client(t, t.guests[0], client_id=b"\xffone")
    assert one.ask(REQUEST, ciaddr="192.168.65.3").type == ACK  # REBINDING
    assert one.ask(REQUEST, ciaddr="192.168.65.3", to=GATEWAY).type == ACK  # RENEWING
    assert client(t, t.guests[0]).ask(REQUEST, requested=FIRST_GUEST).type == NAK  # the other's
    assert t.guests[1].dhcp()["ip"] == FIRST_GUEST


@case(links=STREAM, dhcp=False, start=False)
def test_what_ran_out_is_remembered(t):
    """A lease that ended while netproxy was away is no lease, but its client gets the address again."""
    t.start("--state", f"{t.directory}/state")
    assert client(t).obtain() == FIRST_GUEST
    t.proxy.finish()
    leases = saved_leases(t)
    leases[0]["expires"] = int(time.time()) - 10
    with open(f"{t.directory}/state", "w") as file:
        json.dump({"version": 1, "dhcp": {"lease-time": 3600, "leases": leases}}, file)
    restart(t)
    assert t.proxy.leases() == {}
    other = client(t, chaddr=t.guest.mac, client_id=b"\xffother")
    assert other.obtain() == FIRST_GUEST


@case(links=STREAM, dhcp=False, start=False)
def test_broken_state_is_kept_aside(t):
    with open(f"{t.directory}/state", "w") as file:
        file.write('{"version": 1, "dhcp": {"leases": [{"address": 7')
    t.start("--state", f"{t.directory}/state")
    assert client(t).obtain() == FIRST_GUEST
    wait.until(lambda: FIRST_GUEST in open(f"{t.directory}/state").read(), "a new state file")
    assert open(f"{t.directory}/state.broken").read().endswith('"address": 7')
    assert re.search(r"state can't be used: line 1", t.proxy.log())
    # One file is one process's.
    done = t.host.run(t.proxy.binary, *t.proxy.idle_link(), "--state", f"{t.directory}/state", check=False)
    assert done.returncode == 1 and "another netproxy uses it" in done.stderr, done.stderr
