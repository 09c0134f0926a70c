/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of options: names, what each does with its value, and --help. Every option takes its
 * value as text, wherever it comes from; the text forms that are more than a number or a path are
 * in options_text.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "netproxy/options_private.h"
#include "netstack/stack.h"

/* ---- Values ---- */

int options_complain(char error[static OPTIONS_ERROR_MAX], const char *value, const char *expected)
{
	snprintf(error, OPTIONS_ERROR_MAX, "\"%.200s\": expected %s", value, expected);
	return -EINVAL;
}

int options_number(const char *value, unsigned long min, unsigned long max, unsigned long *ret,
		   char error[static OPTIONS_ERROR_MAX])
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || errno || number < min || number > max) {
		snprintf(error, OPTIONS_ERROR_MAX, "\"%.100s\": expected a number from %lu to %lu",
			 value, min, max);
		return -EINVAL;
	}
	*ret = number;
	return 0;
}

int options_set_text(char *to, size_t room, const char *value, char error[static OPTIONS_ERROR_MAX])
{
	if (!*value || strlen(value) >= room) {
		snprintf(error, OPTIONS_ERROR_MAX,
			 "\"%.100s\": expected text of 1 to %zu characters", value, room - 1);
		return -EINVAL;
	}
	strcpy(to, value);
	return 0;
}

void *options_grow(void **array, unsigned *count, size_t size, unsigned max,
		   char error[static OPTIONS_ERROR_MAX])
{
	void *grown;

	if (*count == max) {
		snprintf(error, OPTIONS_ERROR_MAX, "given more than %u times, the most allowed",
			 max);
		return NULL;
	}
	grown = realloc(*array, (*count + 1) * size);
	if (!grown) {
		snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
		return NULL;
	}
	*array = grown;
	return (char *)grown + (*count)++ * size;
}

static int apply_vsock(struct options *options, const char *value,
		       char error[static OPTIONS_ERROR_MAX])
{
	struct vsock_option vsock, *to;
	int r = options_parse_vsock(value, &vsock, error);

	if (r < 0)
		return r;
	to = options_grow((void **)&options->vsocks, &options->vsock_count, sizeof(vsock),
			  OPTIONS_VSOCKS_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = vsock;
	return 0;
}

static int apply_api(struct options *options, const char *value,
		     char error[static OPTIONS_ERROR_MAX])
{
	struct api_option api, *to;
	int r = options_parse_api(value, &api, error);

	if (r < 0)
		return r;
	to = options_grow((void **)&options->apis, &options->api_count, sizeof(api),
			  OPTIONS_APIS_MAX, error);
	if (!to)
		return -ENOSPC;
	*to = api;
	return 0;
}

static int apply_subnet(struct options *options, const char *value,
			char error[static OPTIONS_ERROR_MAX])
{
	struct prefix subnet;

	if (prefix_parse(value, &subnet) < 0 || subnet.addr.family != AF_INET ||
	    subnet.length < 8 || subnet.length > 29)
		return options_complain(error, value,
					"an IPv4 network of /8 to /29, such as 192.168.65.0/24");
	options->subnet = subnet;
	return 0;
}

static int apply_prefix6(struct options *options, const char *value,
			 char error[static OPTIONS_ERROR_MAX])
{
	struct prefix prefix = {0};

	if (strcmp(value, "none") != 0 && (prefix_parse(value, &prefix) < 0 ||
					   prefix.addr.family != AF_INET6 || prefix.length != 64))
		return options_complain(error, value,
					"an IPv6 network of /64, such as " DEFAULT_PREFIX6
					", or none for no IPv6");
	options->prefix6 = prefix;
	options->prefix6_given = true;
	return 0;
}

static int apply_gateway(struct options *options, const char *value,
			 char error[static OPTIONS_ERROR_MAX])
{
	if (addr_parse(value, &options->gateway) < 0 || options->gateway.family != AF_INET)
		return options_complain(error, value, "an IPv4 address, such as 192.168.65.1");
	options->gateway_given = true;
	return 0;
}

static int apply_host_alias(struct options *options, const char *value,
			    char error[static OPTIONS_ERROR_MAX])
{
	if (addr_parse(value, &options->host_alias) < 0 || options->host_alias.family != AF_INET)
		return options_complain(error, value, "an IPv4 address, such as 192.168.65.254");
	options->host_alias_given = true;
	return 0;
}

static int apply_mtu(struct options *options, const char *value,
		     char error[static OPTIONS_ERROR_MAX])
{
	unsigned long number;
	int r = options_number(value, STACK_MTU_MIN, STACK_MTU_MAX, &number, error);

	if (r == 0)
		options->mtu = (unsigned)number;
	return r;
}

static int apply_no_host_access(struct options *options, const char *value,
				char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->host_access = false;
	return 0;
}

static int apply_connections(struct options *options, const char *value,
			     char error[static OPTIONS_ERROR_MAX])
{
	unsigned long number;
	int r = options_number(value, 1, 1000000, &number, error);

	if (r == 0)
		options->connections_max = (unsigned)number;
	return r;
}

static int apply_busy_poll(struct options *options, const char *value,
			   char error[static OPTIONS_ERROR_MAX])
{
	unsigned long number;
	int r = options_number(value, 0, 1000, &number, error);

	if (r == 0)
		options->busy_poll_us = (uint32_t)number;
	return r;
}

static int apply_udp_flows(struct options *options, const char *value,
			   char error[static OPTIONS_ERROR_MAX])
{
	unsigned long number;
	int r = options_number(value, 1, 1000000, &number, error);

	if (r == 0)
		options->udp_flows_max = (unsigned)number;
	return r;
}

static int apply_lease(struct options *options, const char *value,
		       char error[static OPTIONS_ERROR_MAX])
{
	unsigned long number;
	int r = options_number(value, 60, 4294967294ul, &number, error);

	if (r == 0)
		options->lease_seconds = (uint32_t)number;
	return r;
}

static int apply_domain(struct options *options, const char *value,
			char error[static OPTIONS_ERROR_MAX])
{
	return options_set_text(options->domain, sizeof(options->domain), value, error);
}

static int apply_pid_file(struct options *options, const char *value,
			  char error[static OPTIONS_ERROR_MAX])
{
	return options_set_text(options->pid_file, sizeof(options->pid_file), value, error);
}

static int apply_state(struct options *options, const char *value,
		       char error[static OPTIONS_ERROR_MAX])
{
	return options_set_text(options->state_file, sizeof(options->state_file), value, error);
}

static int apply_log_file(struct options *options, const char *value,
			  char error[static OPTIONS_ERROR_MAX])
{
	return options_set_text(options->log_file, sizeof(options->log_file), value, error);
}

static int apply_log_level(struct options *options, const char *value,
			   char error[static OPTIONS_ERROR_MAX])
{
	if (log_set_levels(value) < 0)
		return options_complain(
			error, value,
			"error, warn, info or debug, and for single modules MODULE=LEVEL, such as info,dns=debug");
	return options_set_text(options->log_level, sizeof(options->log_level), value, error);
}

static int apply_notify_fd(struct options *options, const char *value,
			   char error[static OPTIONS_ERROR_MAX])
{
	unsigned long number;
	int r = options_number(value, 0, 1048576, &number, error);

	if (r == 0)
		options->notify_fd = (int)number;
	return r;
}

static int apply_notify_systemd(struct options *options, const char *value,
				char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->notify_systemd = true;
	return 0;
}

/* The flags that are handled while reading the command line. */
static int apply_nothing(struct options *options, const char *value,
			 char error[static OPTIONS_ERROR_MAX])
{
	(void)options;
	(void)value;
	(void)error;
	return 0;
}

/* clang-format off */
const struct option_def option_defs[] = {
	{"link", "KIND:WHERE", options_apply_link,
	 "Attach guests (may be given many times):\n"
	 "  qemu:PATH               listen on a unix socket for QEMU's -netdev stream\n"
	 "  qemu:tcp:ADDRESS:PORT   the same on TCP\n"
	 "  qemu:connect:PATH       connect to QEMU's -netdev stream,server=on, and again when it\n"
	 "                          has gone; also qemu:connect:tcp:ADDRESS:PORT\n"
	 "  vhost:PATH              listen on a unix socket for QEMU's -netdev vhost-user\n"
	 "  tap:NAME[,netns=PID|PATH]  a tap device, in a network namespace or our own\n"
	 "  dgram:PATH[,remote=PATH]   a unix datagram socket for QEMU's -netdev dgram\n"
	 "  vfkit:PATH              the same for vfkit, krunkit and libkrun\n"
	 "  bess:PATH               a unix SOCK_SEQPACKET socket, one record a frame\n"
	 "  vpnkit:PATH             a unix socket for HyperKit and others that speak VPNKit's VMN3T\n"
	 "  stdio                   frames behind 16-bit lengths on standard input and output; ends\n"
	 "                          with it, if it's the only link\n"
	 "  fd:N[,framing=qemu|le16|dgram|seqpacket|tap]  a descriptor that we were started with",
	 false},
	{"netns", "PID|PATH", options_apply_netns,
	 "Make a network namespace the first guest: a tap is made in it and set up with address,\n"
	 "routes and MTU, and lo brought up. We end when the process or path has gone.", false},
	{"ifname", "NAME", options_apply_ifname, "The tap's name there (default tap0).", false},
	{"netns-address", "ADDRESS", options_apply_netns_address,
	 "Its address (default: the first guest's).", false},
	{"netns-mac", "MAC", options_apply_netns_mac, "Its MAC (default: a random one).", false},
	{"netns-attach", NULL, options_apply_netns_attach,
	 "Only make the tap there, and set nothing up.", false},
	{"resolv-out", "FILE", options_apply_resolv_out,
	 "Write a resolv.conf for that namespace there.", false},
	{"ready-fd", "N", options_apply_ready_fd,
	 "Write \"1\" to this descriptor when everything works, and close it.", true},
	{"exit-fd", "N", options_apply_exit_fd,
	 "End when something happens on this descriptor, such as its other end being closed.", true},
	{"sandbox", NULL, options_apply_sandbox,
	 "Once everything is open, see only /etc and /run of the file system, and keep no\n"
	 "capability but that of binding low ports.", false},
	{"seccomp", NULL, options_apply_seccomp,
	 "From then on die rather than run programs, mount, trace and the like.", false},
	{"slirp4netns-api", "PATH", options_apply_slirp4netns_api,
	 "Serve slirp4netns' API socket there: add_hostfwd, list_hostfwd, remove_hostfwd.", false},
	{"vsock", "PATH[,cid=N][,guest=ADDRESS]", apply_vsock,
	 "A vsock device for a guest: a vhost-user socket for QEMU's vhost-user-vsock-pci.\n"
	 "The guest's connections to CID 2, port P, reach the unix socket PATH_P; the API is at\n"
	 "port 6565. From the host, connect to PATH_connect and send \"CONNECT <port>\\n\".\n"
	 "With many guests, guest= says whose device it is.", false},
	{"api", "unix:PATH|tcp:ADDRESS:PORT", apply_api,
	 "Serve the control API there (many): what netproxyctl talks to.", false},
	{"no-guest-api", NULL, options_apply_no_guest_api,
	 "Don't let guests publish their ports by the API on the gateway's port 80.", false},
	{"vpnkit-port", "PATH|vsock", options_apply_vpnkit_port,
	 "Serve VPNKit's port control, 9P2000, on that unix socket (many), or to the guests of\n"
	 "--vsock at their port 62373; VMs mount it at /port, and what they write is published.", false},
	{"publish", "[HOSTIP:]HOSTPORT[-LAST]:[GUEST:]PORT[-LAST][/tcp|udp|tcp+udp][,...]",
	 options_apply_publish,
	 "Publish a guest's port on the host (many). Without HOSTIP on all addresses; without\n"
	 "GUEST, an address or a name, the first guest's. HOSTPORT 0 picks one. A path instead of\n"
	 "HOSTPORT is a unix socket's. Behind a comma:\n"
	 "  source=gateway  clients appear as the gateway, not by their own addresses\n"
	 "  proxy=v2        a PROXY protocol header tells the guest who the client is\n"
	 "  name=NAME       what to call it", false},
	{"guest-publish", "any|none|WHERE[:PORT[-LAST]]", options_apply_guest_publish,
	 "What guests may publish by themselves (many; default any): WHERE is an address of the\n"
	 "host, a prefix, or any, such as 127.0.0.1 or any:1024-65535.", false},
	{"subnet", "PREFIX", apply_subnet, "The guests' network (default " DEFAULT_SUBNET ").", false},
	{"prefix6", "PREFIX|none", apply_prefix6,
	 "The guests' IPv6 network, a /64 (default " DEFAULT_PREFIX6 ", a unique local one), or\n"
	 "none. We are its ::1, and the host's loopback is its ::fe.", false},
	{"ipv6-addresses", "both|slaac|dhcp|none", options_apply_ipv6_addresses,
	 "How guests come to IPv6 addresses: they make their own, DHCPv6 gives them one, both (the\n"
	 "default), or neither.", false},
	{"gateway", "ADDRESS", apply_gateway, "Our address in it (default: the first, .1).", false},
	{"host-alias", "ADDRESS", apply_host_alias,
	 "The address by which guests reach the host's loopback (default: the last, .254).", false},
	{"dns-address", "ADDRESS", options_apply_dns_address,
	 "Where DNS and DHCP are, if not on the gateway. The gateway is then the host alias, too.", false},
	{"outbound-address", "ADDRESS|IFNAME", options_apply_outbound_address,
	 "The host's IPv4 address from which guests' TCP and UDP leaves (default: as its routes say).", false},
	{"outbound-address6", "ADDRESS|IFNAME", options_apply_outbound_address6, "The same for IPv6.", false},
	{"no-dns", NULL, options_apply_no_dns, "Answer no DNS queries of guests.", false},
	{"no-host-access", NULL, apply_no_host_access, "Don't let guests reach the host's loopback.", false},
	{"allow", "RULE", options_apply_allow,
	 "Let guests reach that (many). RULE is [tcp:|udp:|icmp:]TO[:PORT[-PORT]][,from=WHO]: TO an\n"
	 "address, a prefix, any, or host (the host's loopback); WHO an address, a prefix, a MAC\n"
	 "or a link. The first rule that matches counts, those given here before those of a file:\n"
	 "  --allow tcp:10.0.0.5:443 --deny 10.0.0.0/8", false},
	{"deny", "RULE", options_apply_deny, "Don't let them (many).", false},
	{"rule", "allow|deny RULE", options_apply_rule,
	 "Either, in one word: for configuration files, where the order counts.", false},
	{"egress", "allow|deny", options_apply_egress,
	 "What happens to that which no rule matches (default allow). Link-local addresses and\n"
	 "clouds' metadata services are denied unless a rule of --allow names them.", false},
	{"http-proxy", "URL|env|none", options_apply_http_proxy,
	 "Guests' connections to port 80 and 443 go by that HTTP proxy, asked to CONNECT to the host\n"
	 "they name: [http://][USER[:PASSWORD]@]HOST[:PORT]. env takes the variables http_proxy,\n"
	 "https_proxy and no_proxy.", false},
	{"https-proxy", "URL|none", options_apply_https_proxy,
	 "Another one, or none, for port 443.", false},
	{"no-proxy", "LIST", options_apply_no_proxy,
	 "What goes without it (many): addresses, networks, names with all below them, each with\n"
	 ":PORT if need be; or *.", false},
	{"no-guard", NULL, options_apply_no_guard,
	 "Let guests use each other's addresses, advertise routes and serve DHCP.", false},
	{"isolate", NULL, options_apply_isolate, "Don't let guests reach each other.", false},
	{"mtu", "BYTES", apply_mtu, "The links' MTU, 576 to 65520 (default 1500).", false},
	{"lease-time", "SECONDS", apply_lease, "How long DHCP leases last (default 3600).", false},
	{"dhcp-range", "FIRST-LAST", options_apply_dhcp_range,
	 "The addresses that DHCP gives to anybody (default: all of the subnet).", false},
	{"dhcp-host", "MAC|id:HEX=ADDRESS[,NAME]", options_apply_dhcp_host,
	 "Always give this guest this address, and a name (many); id: is its client identifier.", false},
	{"dhcp-option", "CODE[!]=[TYPE:]VALUE", options_apply_dhcp_option,
	 "Tell guests this option, too (many). TYPE is text, address, hex, u8, u16, u32 or domains,\n"
	 "and can be left out where the code is well known. With ! also guests that don't ask for\n"
	 "it. Without a value not even ours is sent: 3= for no default route.", false},
	{"dhcp-route", "PREFIX=ROUTER", options_apply_dhcp_route,
	 "Tell guests this route, besides the default one (many).", false},
	{"dhcp-boot", "FILE[,ADDRESS]", options_apply_dhcp_boot,
	 "What guests boot from the network, and the TFTP server (default: the gateway).", false},
	{"dhcp-max-per-guest", "N", options_apply_dhcp_max,
	 "Most addresses that one guest holds by asking with many MACs (default 64; 0: no limit).", false},
	{"dhcp-by-id", NULL, options_apply_dhcp_by_id,
	 "Give one MAC an address for each client identifier that it asks with, as ipvlan needs;\n"
	 "without it firmware, initramfs and system of a guest get one and the same.", false},
	{"no-dhcp", NULL, options_apply_no_dhcp, "Give no addresses: guests have theirs.", false},
	{"ntp", "ADDRESS", options_apply_ntp, "Tell guests this time server (many).", false},
	{"domain", "NAME", apply_domain, "The domain that DHCP tells guests (default vm.internal).", false},
	{"dns", "ADDRESS[:PORT]", options_apply_dns,
	 "Ask this resolver (up to 4) instead of those of resolv.conf.", false},
	{"resolv-conf", "FILE|none", options_apply_resolv_conf,
	 "Where the host's resolvers are listed (default /etc/resolv.conf).", false},
	{"hosts-file", "FILE|none", options_apply_hosts_file,
	 "Names of the host's that guests know too (default /etc/hosts).", false},
	{"dns-route", "DOMAIN=RESOLVER[,RESOLVER...]", options_apply_dns_route,
	 "Ask these resolvers for names in this domain (many); the longest domain counts.", false},
	{"dns-zone", "NAME[=ADDRESS]", options_apply_dns_zone,
	 "A domain of our own (many): what isn't in it doesn't exist, or is at ADDRESS.", false},
	{"dns-record", "NAME=ADDRESS[,ADDRESS...]", options_apply_dns_record,
	 "Answer this name with these addresses, and them with this name (many). For a whole lot of\n"
	 "names, NAME is /REGEXP/ZONE, with ZONE one of a --dns-zone.", false},
	{"dns-search", "DOMAIN|none", options_apply_dns_search,
	 "Tell guests to search this domain (many) besides their own, instead of those that the\n"
	 "host searches.", false},
	{"max-connections", "N", apply_connections, "Most TCP connections of a guest at a time (default 65536).", false},
	{"max-udp-flows", "N", apply_udp_flows, "Most UDP flows of a guest at a time (default 4096).", false},
	{"busy-poll", "MICROSECONDS", apply_busy_poll,
	 "Where answers keep coming within so many microseconds, look for them before going to\n"
	 "sleep, such as 20 (default 0: never). For many small messages and spare processors.", false},
	{"pcap", "FILE", options_apply_pcap,
	 "Capture all frames of all links in that file (pcapng).", false},
	{"pid-file", "FILE", apply_pid_file, "Write our process id there; removed at the end.", false},
	{"state", "FILE", apply_state,
	 "Keep there what shall survive a restart, such as DHCP leases and published ports; each\n"
	 "netproxy needs a file of its own.", false},
	{"log-file", "FILE", apply_log_file, "Log there instead of standard error; reopened on SIGHUP.", false},
	{"log-level", "LEVEL[,MODULE=LEVEL...]", apply_log_level,
	 "error, warn, info (default) or debug.", false},
	{"notify-fd", "N", apply_notify_fd, "Write \"READY=1\" to this descriptor when everything listens.", true},
	{"notify-systemd", NULL, apply_notify_systemd,
	 "Tell systemd so, too: for a service of Type=notify.", false},
	{OPTION_CONFIG, "FILE", apply_nothing,
	 "Read options from a JSON file: an object with these names as keys; lists for those\n"
	 "that may be given many times.", true},
	{OPTION_VERSION, NULL, apply_nothing, "Print the version.", true},
	{OPTION_HELP, NULL, apply_nothing, "Print this.", true},
};
/* clang-format on */
static_assert(sizeof(option_defs) / sizeof(option_defs[0]) <= OPTION_DEFS_MAX, "too many options");

size_t option_def_count(void)
{
	return sizeof(option_defs) / sizeof(option_defs[0]);
}

/* ---- Help ---- */

static void print_indented(const char *text)
{
	while (*text) {
		int size = (int)strcspn(text, "\n");

		printf("        %.*s\n", size, text);
		text += size;
		if (*text)
			text++;
	}
}

void options_print_help(void)
{
	printf("usage: netproxy --link KIND:WHERE [options]\n"
	       "\n"
	       "A network for virtual machines, in user space: DHCP, DNS, a way out through this host's\n"
	       "sockets, and published ports. No root, no bridge.\n"
	       "\n"
	       "Options (one dash or two, --name VALUE or --name=VALUE):\n");
	for (size_t i = 0; i < option_def_count(); i++) {
		printf("  --%s%s%s\n", option_defs[i].name, option_defs[i].value ? " " : "",
		       option_defs[i].value ? option_defs[i].value : "");
		print_indented(option_defs[i].help);
	}
	printf("\n"
	       "Examples:\n"
	       "  netproxy --link qemu:/tmp/net.sock --publish 8080:80\n"
	       "  qemu-system-x86_64 ... -netdev stream,id=n,server=off,addr.type=unix,addr.path=/tmp/net.sock \\\n"
	       "                         -device virtio-net-pci,netdev=n\n"
	       "\n"
	       "Signals: SIGTERM and SIGINT end it, SIGHUP reopens the log file.\n"
	       "Exit status: 0 ended by a signal, 1 it could not start or go on, 2 wrong options.\n"
	       "To boot a VM with this network in one step, see netproxy-vm(1).\n");
}

void options_print_start(void)
{
	fprintf(stderr,
		"netproxy: nothing to do: name a link for guests to attach to. The shortest start is\n"
		"\n"
		"  netproxy --link qemu:/tmp/net.sock --api unix:/tmp/netproxy.sock\n"
		"\n"
		"and 'netproxy --help' explains every option.\n");
}
