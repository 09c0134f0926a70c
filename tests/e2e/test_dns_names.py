# SPDX-License-Identifier: Apache-2.0
"""Names that the gateway knows itself: of guests, of the configuration, of the API, of the host's hosts file."""

import os

from bed import nameserver, netns, wait
from bed.cases import MAIN, STREAM, case
from bed.dig import dig, flags, short, status
from bed.guest import IFNAME
from bed.nameserver import Answer, NameServer, address
from bed.proxy import ALIAS, FIRST_GUEST, GATEWAY

RESOLVER = "10.78.0.53"
SECOND_GUEST = "192.168.65.3"
PREFIX6 = "fd65:6e70:7879::"
GATEWAY_LINK_LOCAL = "fe80::5894:efff:fee4:cdd"


def says(query):
    return Answer(records=[address("10.9.9.9")] if query.type == nameserver.A else [])


def resolve(guest, name, family="ahostsv4"):
    """What a program in the guest finds, by glibc and the resolver and the search list that DHCP gave."""
    lease = guest.lease()
    netns.resolv_conf(guest.ns, f"nameserver {lease['dns'].split()[0]}\nsearch {lease['search']}\n")
    done = guest.ns.run("ip", "netns", "exec", guest.ns.name, "getent", family, name, check=False)
    return sorted({line.split()[0] for line in done.stdout.splitlines()})


@case(links=MAIN, guests=2, dhcp=False)
def test_guests(t):
    """A guest is found by the name that it gave with DHCP: by the others, forward and back, and by its short name."""
    web, other = t.guests
    web.dhcp("-x", "hostname:Web", "-O", "search")
    other.dhcp("-x", "hostname:db", "-O", "search")
    for name in ("web.vm.internal", "WEB.VM.INTERNAL."):
        assert short(t, name, namespace=other.ns) == [FIRST_GUEST]
    assert short(t, "db.vm.internal") == [SECOND_GUEST]
    assert short(t, "-x", SECOND_GUEST) == ["db.vm.internal."]
    assert short(t, "-x", FIRST_GUEST, namespace=other.ns) == ["web.vm.internal."]
    assert resolve(other, "web") == [FIRST_GUEST]
    assert resolve(web, "db") == [SECOND_GUEST]
    assert "web.vm.internal" in other.ns.run("ip", "netns", "exec", other.ns.name, "getent", "hosts",
                                             FIRST_GUEST).stdout
    output = dig(t, "nobody.vm.internal")
    assert status(output) == "NXDOMAIN" and "\tSOA\t" in output and "aa" in flags(output), output
    output = dig(t, "MX", "db.vm.internal")
    assert status(output) == "NOERROR" and "\tSOA\t" in output, output


@case(links=MAIN, args=["--dns", RESOLVER])
def test_over_ipv6(t):
    """The gateway's IPv6 address and its link-local one serve DNS too, and answer from where they were asked."""
    t.serve(NameServer(t.world, RESOLVER, says))
    t.guest.ns.ip("addr", "add", f"{PREFIX6}77/64", "dev", IFNAME, "nodad")
    for server in (f"{PREFIX6}1", f"{GATEWAY_LINK_LOCAL}%{IFNAME}"):
        wait.until(lambda: short(t, "+notcp", "+time=1", "host.internal", server=server) == [ALIAS],
                   f"an answer of {server}")
        for transport in ("+notcp", "+tcp"):
            assert short(t, transport, "AAAA", "gateway.internal", server=server) == [f"{PREFIX6}1"]
            assert short(t, transport, "AAAA", "host.internal", server=server) == [f"{PREFIX6}fe"]
            assert short(t, transport, "any.test", server=server) == ["10.9.9.9"]
            assert short(t, transport, "-x", f"{PREFIX6}1", server=server) == ["gateway.internal."]
            assert status(dig(t, transport, "-x", f"{PREFIX6}99", server=server)) == "NXDOMAIN"


@case(links=STREAM, guests=2, dhcp=False)
def test_guests_with_one_name(t):
    """The first one has it for as long as it wants it; then the other gets it when it asks again."""
    first, second = t.guests
    first.dhcp("-x", "hostname:web")
    second.dhcp("-x", "hostname:web")
    assert short(t, "web.vm.internal") == [FIRST_GUEST]
    assert short(t, "-x", SECOND_GUEST) == []
    first.dhcp("-x", "hostname:web")
    second.dhcp("-x", "hostname:web")
    assert short(t, "web.vm.internal") == [FIRST_GUEST]
    first.dhcp("-x", "hostname:www")
    second.dhcp("-x", "hostname:web")
    assert short(t, "web.vm.internal", namespace=second.ns) == [SECOND_GUEST]


@case(links=STREAM, guests=2, dhcp=False, start=False)
def test_hostile_names(t):
    """No name that a guest gives itself leads others astray, or takes the place of a name of somebody else's."""
    hosts = f"{t.directory}/hosts"
    with open(hosts, "w") as file:
        file.write("10.1.1.1 nas.vm.internal\n")
    t.start("--hosts-file", hosts, "--dns-record", "db.vm.internal=10.1.1.2")
    mallory, other = t.guests
    other.dhcp("-x", "hostname:good")
    for name in ("wpad", "isatap", "localhost", "gateway", "host", "vm"):
        mallory.dhcp("-x", f"hostname:{name}")
        output = dig(t, f"{name}.vm.internal", namespace=other.ns)
        assert status(output) == "NXDOMAIN", output
        assert short(t, "-x", mallory.address, namespace=other.ns) in ([], ["vm.internal."])
    for name, wanted in (("nas", "10.1.1.1"), ("db", "10.1.1.2"), ("host.internal", ALIAS)):
        mallory.dhcp("-x", f"hostname:{name}")
        full = name if "." in name else f"{name}.vm.internal"
        assert short(t, full, namespace=other.ns) == [wanted], name
    for name in ("*", "a b", "-", "x" * 80, "\\000", "..", "évil", "_dmarc"):
        mallory.dhcp("-x", f"hostname:{name}")
    assert short(t, "good.vm.internal", namespace=mallory.ns) == [other.address]


@case(links=MAIN, args=["--dns", RESOLVER, "--dns-record", "db.corp.example=10.0.0.5,fd00::5,10.0.0.6",
                        "--dns-zone", "crc.testing", "--dns-zone", "apps.crc.testing=192.168.65.2",
                        "--dns-record", "api.crc.testing=192.168.65.77", "--dns-record",
                        "/^node-[0-9]+$/crc.testing=192.168.65.78"])
def test_configured(t):
    """--dns-record and --dns-zone, over UDP and TCP."""
    server = t.serve(NameServer(t.world, RESOLVER, says))
    for transport in ("+notcp", "+tcp"):
        assert short(t, transport, "db.corp.example") == ["10.0.0.5", "10.0.0.6"]
        assert short(t, transport, "AAAA", "db.corp.example") == ["fd00::5"]
        assert short(t, transport, "-x", "10.0.0.5") == ["db.corp.example."]
        assert short(t, transport, "-x", "fd00::5") == ["db.corp.example."]
        assert short(t, transport, "-x", "192.168.65.77") == ["api.crc.testing."]
        assert short(t, transport, "api.crc.testing") == ["192.168.65.77"]
        assert short(t, transport, "node-17.crc.testing") == ["192.168.65.78"]
        assert short(t, transport, "a.b.apps.crc.testing") == ["192.168.65.2"]
        assert status(dig(t, transport, "node-x.crc.testing")) == "NXDOMAIN"
    assert not server.queries, server.queries
    assert short(t, "www.corp.example") == ["10.9.9.9"]
    assert short(t, "TXT", "db.corp.example") == []
    assert [query.name for query in server.queries] == ["www.corp.example", "db.corp.example"]
    # RFC 8482: what there is of our names is little, and so ANY says it all.
    output = dig(t, "ANY", "+notcp", "db.corp.example")
    assert "10.0.0.5" in output and "fd00::5" in output and status(output) == "NOERROR", output


@case(links=STREAM, args=["--dns", RESOLVER, "--dns-zone", "corp.test", "--dns-record",
                          "git.corp.test=10.0.0.1", "--dns-route", f"corp.test={RESOLVER}",
                          "--dns-route", f"vm.internal={RESOLVER}"])
def test_route_behind_a_zone(t):
    """What a domain of ours doesn't have is looked for where a route for it leads."""
    t.serve(NameServer(t.world, RESOLVER, says))
    assert short(t, "git.corp.test") == ["10.0.0.1"]
    assert short(t, "www.corp.test") == ["10.9.9.9"]
    assert short(t, "build.vm.internal") == ["10.9.9.9"]


@case(links=STREAM, dhcp=False, args=["--dns-search", "lan.test", "--dns-search", "corp.example", "--domain",
                                      "lab.internal"])
def test_search(t):
    """What --dns-search says is handed out instead of the host's list, behind the guests' own domain."""
    lease = t.guest.dhcp("-O", "search", "-O", "domain", "-x", "hostname:web")
    assert lease["search"].split() == ["lab.internal", "lan.test", "corp.example"], lease
    assert short(t, "web.lab.internal") == [FIRST_GUEST]


@case(links=STREAM, start=False)
def test_search_follows_the_host(t):
    """Another search list on the host, as when a VPN comes up: the next lease has it, and all that guests are told by
    IPv6, without one."""
    t.proxy.resolv_conf = path = f"{t.directory}/resolv.conf"

    def write(text):
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def search():
        return t.guest.dhcp("-O", "search").get("search", "").split()

    def advertised():
        return t.guest.ns.run("rdisc6", "-1", "-r", "2", "-w", "2000", IFNAME, check=False).stdout

    # One that not every client of DHCP would take isn't a reason not to start.
    write("search home.lan it's+odd\n")
    t.start()
    assert search()[:2] == ["vm.internal", "home.lan"], search()
    write("search corp.example home.lan\n")
    wait.until(lambda: search() == ["vm.internal", "corp.example", "home.lan"], "the new search list in a lease")
    wait.until(lambda: "corp.example" in advertised(), "... and in an advertisement")
    write("search left.example\n")
    short(t, "host.internal")
    wait.until(lambda: short(t, "host.internal") and "left.example" in advertised(),
               "an advertisement to follow a query")


@case(links=STREAM, start=False)
def test_hosts_file(t):
    """The host's hosts file, as it is at the time; its loopback is the host's."""
    path = f"{t.directory}/hosts"

    def write(text):
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)

    write("127.0.0.1 localhost\n127.0.1.1 laptop laptop.lan\n10.1.1.1\tnas NAS.lan # the old one\nfd00::9 nas\n")
    t.start("--hosts-file", path)
    assert short(t, "laptop.lan") == [ALIAS]
    assert short(t, "nas") == ["10.1.1.1"]
    assert short(t, "nas.LAN") == ["10.1.1.1"]
    assert short(t, "AAAA", "nas") == ["fd00::9"]
    assert short(t, "-x", "10.1.1.1") == ["nas."]
    assert short(t, "localhost") == ["127.0.0.1"]
    write("10.1.1.2 nas\n")
    wait.until(lambda: short(t, "nas") == ["10.1.1.2"], "the new hosts file to count")
    os.unlink(path)
    wait.until(lambda: short(t, "nas") == [], "the hosts file to be gone")


@case(links=STREAM, args=["--hosts-file", "none"])
def test_no_hosts_file(t):
    name = t.host.run("hostname").stdout.strip()
    assert short(t, name) == []


@case(links=STREAM)
def test_gvproxy_api(t):
    """Zones in gvproxy's shapes; what is added later goes first."""
    names = [zone["Name"] for zone in t.proxy.get("/services/dns/all")]
    assert names == ["containers.internal.", "docker.internal.", "internal."], names
    built_in = t.proxy.get("/services/dns/all")[0]
    assert built_in["Records"][0] == {"Name": "gateway", "IP": GATEWAY, "Regexp": None}, built_in
    zone = {"Name": "crc.testing.", "DefaultIP": "192.168.65.9",
            "Records": [{"Name": "api", "IP": "10.0.0.1"}, {"IP": "10.0.0.2", "Regexp": "^node-.*$"}]}
    t.proxy.post("/services/dns/add", zone)
    assert short(t, "api.crc.testing") == ["10.0.0.1"]
    assert short(t, "node-1.crc.testing") == ["10.0.0.2"]
    assert short(t, "else.crc.testing") == ["192.168.65.9"]
    t.proxy.post("/services/dns/add", {"Name": "crc.testing.", "Records": [{"Name": "api", "IP": "10.0.0.3"}]})
    assert short(t, "api.crc.testing") == ["10.0.0.3"]
    assert status(dig(t, "else.crc.testing")) == "NXDOMAIN"
    status_code, body = t.proxy.request("GET", "/services/dns/all")
    assert body.endswith(
        '{"Name":"crc.testing.","Records":[{"Name":"api","IP":"10.0.0.3","Regexp":null},'
        '{"Name":"api","IP":"10.0.0.1","Regexp":null},'
        '{"Name":"","IP":"10.0.0.2","Regexp":"^node-.*$"}],"DefaultIP":""}]\n'), body
    for method, body, code in (("GET", None, 400), ("POST", "{", 400), ("POST", {"Name": "a..b"}, 400)):
        assert t.proxy.request(method, "/services/dns/add", body)[0] == code


@case(links=STREAM)
def test_v1_api(t):
    """GET, PUT and DELETE of a zone."""
    path = "/v1/dns/zones/lab.test"
    zone = {"records": [{"name": "a", "ip": "10.0.0.1"}, {"name": "a", "ip": "10.0.0.2"}]}
    assert t.proxy.request("GET", path)[0] == 404
    code, body = t.proxy.request("PUT", path, zone)
    assert code == 200, body
    assert t.proxy.get(path) == {"name": "lab.test.", "shared": False, "records": zone["records"]}
    assert sorted(short(t, "a.lab.test")) == ["10.0.0.1", "10.0.0.2"]
    code, body = t.proxy.request("PUT", path, {"default_ip": "10.0.0.3"})
    assert code == 200 and short(t, "a.lab.test") == ["10.0.0.3"], body
    assert t.proxy.request("PUT", path, t.proxy.get(path))[0] == 200, "a listing can be put back"
    assert t.proxy.request("DELETE", path)[0] == 200
    assert status(dig(t, "a.lab.test")) == "NXDOMAIN"
    code, body = t.proxy.request("DELETE", path)
    assert code == 404 and '"code":"not_found"' in body, body
    code, body = t.proxy.request("DELETE", "/v1/dns/zones/docker.internal")
    assert code == 403 and "built in" in body, body
    assert short(t, "host.docker.internal") == [ALIAS]
    code, body = t.proxy.request("PUT", path, {"records": [{"name": "a", "ip": "10.0.0.1", "regexp": "("}]})
    assert code == 400 and "regular expression" in body, body
    assert len(t.proxy.get("/v1/dns/zones")) == 3


@case(start=False)
def test_zones_survive_a_restart(t):
    """What came by the API is there again, in front of what the configuration says."""
    args = ["--state", f"{t.directory}/state", "--dns-record", "a.lab.test=10.0.0.1", "--dns-zone", "lab.test"]
    t.start(*args)
    t.proxy.post("/services/dns/add", {"Name": "lab.test.", "Records": [{"Name": "b", "IP": "10.0.0.2"}]})
    code, body = t.proxy.request("PUT", "/v1/dns/zones/new.test", {"default_ip": "10.0.0.3"})
    assert code == 200, body
    before = t.proxy.get("/v1/dns/zones")
    t.proxy.finish()
    t.start(*args)
    assert t.proxy.get("/v1/dns/zones") == before
    assert [record["name"] for record in t.proxy.get("/v1/dns/zones/lab.test")["records"]] == ["b", "a"]
    assert t.proxy.request("DELETE", "/v1/dns/zones/new.test")[0] == 200
    t.proxy.finish()
    t.start(*args)
    assert t.proxy.request("GET", "/v1/dns/zones/new.test")[0] == 404
