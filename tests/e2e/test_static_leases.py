# SPDX-License-Identifier: Apache-2.0
"""Static leases that come and go by the API and netproxyctl, and the clients that get them."""

import http.client
import json
import socket
import urllib.parse

from bed import wait
from bed.cases import MAIN, STREAM, case
from bed.proxy import ALIAS, FIRST_GUEST, GATEWAY

PATH = "/v1/leases/static"
FIXED = "192.168.65.50"
OTHER_MAC = "52:54:00:99:99:99"


def add(t, address, mac, **more):
    status, text = t.proxy.request("POST", PATH, {"address": address, "mac": mac, **more})
    return status, json.loads(text)


def remove(t, address, mac):
    query = urllib.parse.urlencode({"address": address, "mac": mac})
    status, text = t.proxy.request("DELETE", f"{PATH}?{query}")
    return status, json.loads(text)


def refused(answer, status, code, *words):
    """That this is an error of that kind, which says so; returns who has what was asked for."""
    error = answer[1]["error"]
    assert (answer[0], error["code"]) == (status, code), answer
    for word in words:
        assert word in error["message"], answer
    return error.get("holder", "")


def hold(t, address, mac):
    """Asks for as long as a connection lasts; returns (it, status, answer)."""
    connection = http.client.HTTPConnection("netproxy")
    connection.sock = t.keep(socket.socket(socket.AF_UNIX))
    connection.sock.settimeout(10 * wait.slowness)
    connection.sock.connect(t.proxy.api)
    connection.request("POST", PATH, json.dumps({"address": address, "mac": mac, "lease": "connection"}))
    reply = connection.getresponse()
    return connection, reply.status, json.loads(reply.read())


def statics(t):
    return {one["address"]: one["mac"] for one in t.proxy.get(PATH)}


@case(links=MAIN, dhcp=False)
def test_udhcpc_gets_it(t):
    status, answer = add(t, FIXED, t.guest.mac, hostname="db")
    assert status == 200 and answer == {"address": FIXED, "mac": t.guest.mac, "hostname": "db", "owner": "host"}, answer
    assert add(t, FIXED, t.guest.mac) == (200, answer), "the same again is no error"
    assert t.guest.dhcp()["ip"] == FIXED
    assert t.proxy.leases() == {FIXED: t.guest.mac}
    assert t.guest.ping(GATEWAY)
    assert t.proxy.get("/v1/leases")[0]["hostname"] == "db"
    assert remove(t, FIXED, t.guest.mac) == (200, {"removed": 1})
    assert t.proxy.get(PATH) == []
    # Who has it keeps it, as an ordinary lease.
    assert t.guest.dhcp()["ip"] == FIXED


@case(links=STREAM, guests=2)
def test_clash(t):
    """An address that a guest has leased is nobody else's, nor is one that is kept for another."""
    one, two = t.guests
    assert one.mac in refused(add(t, FIRST_GUEST, two.mac), 409, "address_in_use", FIRST_GUEST, one.mac)
    assert add(t, FIRST_GUEST, one.mac)[0] == 200, "its own"
    assert one.mac in refused(add(t, FIRST_GUEST, two.mac), 409, "already_there", one.mac)
    refused(add(t, FIXED, one.mac), 409, "already_there", FIRST_GUEST)
    refused(remove(t, FIRST_GUEST, two.mac), 409, "address_in_use", one.mac)
    refused(remove(t, FIXED, two.mac), 404, "not_found")
    assert statics(t) == {FIRST_GUEST: one.mac}
    # A guest that has another address moves when it asks the next time.
    assert add(t, FIXED, two.mac)[0] == 200
    assert two.dhcp()["ip"] == FIXED
    assert two.ping(one.address)


@case(links=STREAM, dhcp=False, args=["--dhcp-host", f"{OTHER_MAC}=192.168.65.60"])
def test_what_can_not_be(t):
    for address, word in ((GATEWAY, "gateway"), (ALIAS, "host alias"), ("192.168.65.255", "192.168.65.0/24"),
                          ("192.168.65.0", "subnet"), ("10.0.0.1", "192.168.65.0/24")):
        refused(add(t, address, t.guest.mac), 400, "bad_request", address, word)
    refused(add(t, FIXED, "01:00:00:00:00:01"), 400, "bad_request", "MAC")
    refused(add(t, FIXED, t.guest.mac, hostname="not a name"), 400, "bad_request", "host name")
    refused(add(t, "fd00::1", t.guest.mac), 400, "bad_request", "IPv4")
    refused(add(t, FIXED, "x"), 400, "bad_request", "52:54:00:12:34:56")
    refused(add(t, FIXED, t.guest.mac, lease="forever"), 400, "bad_request", "connection")
    refused(add(t, FIXED, t.guest.mac, nonsense=1), 400, "bad_request", "nonsense")
    for query in ("", "?address=192.168.65.60", "?address=x&mac=y", "?address=1.2.3.4&mac=52:54:00:12:34:56&x=1"):
        status, text = t.proxy.request("DELETE", PATH + query)
        assert status == 400 and "error" in json.loads(text), (query, text)
    # What stands in the configuration stays.
    assert t.proxy.get(PATH) == [{"address": "192.168.65.60", "mac": OTHER_MAC, "hostname": "", "owner": "config"}]
    refused(remove(t, "192.168.65.60", OTHER_MAC), 403, "not_permitted", "configuration")
    assert add(t, "192.168.65.60", OTHER_MAC)[1]["owner"] == "config"


@case(links=STREAM, dhcp=False, guests=2)
def test_for_a_connection(t):
    """A machine's address is free again when the machine's connection has gone, however it went."""
    one, two = t.guests
    connection, status, answer = hold(t, FIXED, one.mac)
    assert status == 200 and answer["lease"] == "connection", answer
    assert one.dhcp()["ip"] == FIXED
    again, status, answer = hold(t, FIXED, one.mac)
    assert status == 409 and "same MAC" in answer["error"]["message"], answer
    again.close()
    assert statics(t) == {FIXED: one.mac}
    connection.close()
    wait.until(lambda: statics(t) == {} and FIXED not in t.proxy.leases(), "the lease to go")
    connection, status, answer = hold(t, FIXED, two.mac)
    assert status == 200, answer
    assert two.dhcp()["ip"] == FIXED
    # The host's word outlives the connection.
    assert add(t, FIXED, two.mac)[0] == 200
    connection.close()
    other, status, _ = hold(t, "192.168.65.51", OTHER_MAC)
    other.close()
    assert status == 200
    wait.until(lambda: statics(t) == {FIXED: two.mac}, "the other one's to go")
    assert t.proxy.leases()[FIXED] == two.mac


@case(links=STREAM, dhcp=False, start=False, guests=2)
def test_kept(t):
    """The state file has those of the host, and the leases, wherever they are and whoever asked."""
    two = t.guests[1]
    state = ("--state", f"{t.directory}/state.json", "--dhcp-range", "192.168.65.2-192.168.65.9")
    t.start(*state)
    assert add(t, FIXED, t.guest.mac, hostname="db")[0] == 200
    connection, status, _ = hold(t, "192.168.65.5", two.mac)
    assert status == 200
    assert t.guest.dhcp()["ip"] == FIXED
    assert two.dhcp()["ip"] == "192.168.65.5"
    t.proxy.finish()
    connection.close()
    t.start(*state)
    assert t.proxy.get(PATH) == [{"address": FIXED, "mac": t.guest.mac, "hostname": "db", "owner": "host"}]
    assert t.proxy.leases() == {FIXED: t.guest.mac, "192.168.65.5": two.mac}
    t.proxy.finish()
    # A network that the address isn't of: it is dropped, and said.
    t.start("--state", f"{t.directory}/state.json", "--subnet", "10.1.2.0/24")
    assert t.proxy.get(PATH) == [] and "static lease of an earlier run is dropped" in t.proxy.log()


@case(links=STREAM, dhcp=False, args=["--no-dhcp"])
def test_no_dhcp(t):
    refused(add(t, FIXED, t.guest.mac), 500, "no_service", "--no-dhcp")
    assert t.proxy.get(PATH) == []


@case(links=STREAM, dhcp=False)
def test_netproxyctl(t):
    def ctl(*args, status=0):
        done = t.host.run(f"{t.settings.bin}/netproxyctl", "--api", f"unix:{t.proxy.api}", *args, check=False)
        assert done.returncode == status, done
        return done.stdout + done.stderr
    assert "No address" in ctl("reservations")
    assert ctl("reserve", FIXED, t.guest.mac, "--name", "db") == f"reserved {FIXED} for {t.guest.mac}\n"
    text = ctl("reservations")
    assert FIXED in text and t.guest.mac in text and "db" in text and "host" in text, text
    assert t.guest.dhcp()["ip"] == FIXED
    assert FIXED in ctl("reserve", FIXED, OTHER_MAC, status=1)
    assert json.loads(ctl("reservations", "--json"))[0]["address"] == FIXED
    assert "reserved for no MAC" in ctl("unreserve", "192.168.65.51", status=1)
    assert ctl("unreserve", FIXED) == f"no longer reserved: {FIXED} for {t.guest.mac}\n"
    assert statics(t) == {}
    for words in (("reserve", "x", t.guest.mac), ("reserve", FIXED, "x"), ("reserve", FIXED), ("unreserve", "fd00::1"),
                  ("reserve", FIXED, OTHER_MAC, "--udp"), ("reservations", "--name", "x")):
        ctl(*words, status=2)
