/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that can be said to netproxy, on the command line or in a JSON configuration file,
 * checked once and then only read. There is one table of options (options_table.c): flags,
 * configuration keys and --help all come from it.
 */
#ifndef NETPROXY_OPTIONS_H
#define NETPROXY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/sock.h"
#include "forwarder/publish.h"
#include "netproxy/options_dhcp.h"
#include "netproxy/options_netns.h"
#include "dns/dns_pattern.h"
#include "dns/dns_resolvconf.h"
#include "dns/dns_server.h"
#include "dns/dns_wire.h"
#include "forwarder/egress.h"
#include "forwarder/policy.h"

#define OPTIONS_LINKS_MAX         64
#define OPTIONS_VSOCKS_MAX        64
#define OPTIONS_APIS_MAX          16
#define OPTIONS_VPNKITS_MAX       4
#define OPTIONS_GUEST_PUBLISH_MAX 64
#define OPTIONS_PUBLISH_MAX       1024
#define OPTIONS_NAME_MAX          64
#define OPTIONS_PATH_MAX          4096
#define OPTIONS_ERROR_MAX         512
#define OPTIONS_IP6_MTU_MIN       1280 /* RFC 8200, section 5 */

enum link_option_kind {
	LINK_OPTION_QEMU_UNIX,         /* qemu:PATH */
	LINK_OPTION_QEMU_TCP,          /* qemu:tcp:HOST:PORT */
	LINK_OPTION_VHOST,             /* vhost:PATH */
	LINK_OPTION_TAP,               /* tap:IFNAME[,netns=PID|PATH] */
	LINK_OPTION_QEMU_CONNECT_UNIX, /* qemu:connect:PATH */
	LINK_OPTION_QEMU_CONNECT_TCP,  /* qemu:connect:tcp:HOST:PORT */
	LINK_OPTION_DGRAM,             /* dgram:PATH[,remote=PATH] */
	LINK_OPTION_VFKIT,             /* vfkit:PATH */
	LINK_OPTION_BESS,              /* bess:PATH */
	LINK_OPTION_VPNKIT,            /* vpnkit:PATH */
	LINK_OPTION_STDIO,             /* stdio */
	LINK_OPTION_FD,                /* fd:N[,framing=...] */
};

/* How frames lie in the descriptor of LINK_OPTION_FD. */
enum link_option_framing {
	LINK_FRAMING_GUESS, /* as its type suggests */
	LINK_FRAMING_QEMU,
	LINK_FRAMING_LE16,
	LINK_FRAMING_DGRAM,
	LINK_FRAMING_SEQPACKET,
	LINK_FRAMING_TAP,
};

struct link_option {
	enum link_option_kind kind;
	char path[OPTIONS_PATH_MAX]; /* of a socket, or the tap's name */
	char netns[OPTIONS_PATH_MAX];
	char remote[SOCK_PATH_MAX]; /* dgram: the one guest's path; "": as they come */
	struct endpoint at;
	int fd;
	enum link_option_framing framing;
};

/* How guests come to their IPv6 addresses. */
enum ipv6_addresses {
	IPV6_ADDRESSES_BOTH,  /* by themselves (SLAAC), and from DHCPv6 */
	IPV6_ADDRESSES_SLAAC, /* by themselves; DHCPv6 serves who asks nevertheless */
	IPV6_ADDRESSES_DHCP,  /* from DHCPv6 */
	IPV6_ADDRESSES_NONE,  /* they have them: there is a router, and no more */
};

struct vsock_option {
	char path[SOCK_PATH_MAX];
	uint32_t cid;      /* 0: the default */
	struct addr guest; /* whose device it is; AF_UNSPEC: the first guest's */
};

struct api_option {
	bool tcp;
	char path[SOCK_PATH_MAX];
	struct endpoint at;
};

/* Where VPNKit's port control is served. */
struct vpnkit_option {
	char path[SOCK_PATH_MAX];
};

struct publish_option {
	struct publish_spec spec; /* with the first port of a range; `remote` AF_UNSPEC without a
				     name: the first guest, which options_finish_publish() fills in
				   */
	unsigned ports;
	bool tcp_and_udp;
};

/* Names within a domain go to resolvers of their own. */
struct dns_route_option {
	struct dns_name suffix;
	unsigned resolver_count;
	struct dns_resolver resolvers[DNS_RESOLVERS_MAX];
};

struct dns_zone_option {
	struct dns_name name;
	struct addr default_ip; /* of names without a record; AF_UNSPEC: none */
};

struct dns_record_option {
	struct dns_name name;                  /* with a regexp: its zone, one of the dns_zones */
	char regexp[DNS_PATTERN_SIZE_MAX + 1]; /* "": none */
	struct addr ip;
};

struct gvproxy_conf;

struct options {
	struct link_option *links; /* up to OPTIONS_LINKS_MAX; owned, as the other arrays */
	unsigned link_count;
	struct vsock_option *vsocks;
	unsigned vsock_count;
	struct api_option *apis;
	unsigned api_count;
	struct vpnkit_option *vpnkits;
	unsigned vpnkit_count;
	bool vpnkit_vsock; /* to the guests of vsock devices, too */
	struct publish_option *publish;
	unsigned publish_count;
	struct publish_rule *guest_publish; /* what guests may bind; any where none was given */
	unsigned guest_publish_count;
	bool guest_publish_given;
	struct policy_rule *rules; /* in the order in which they count: the command line's first */
	unsigned rule_count;
	bool egress_deny;         /* what no rule matches */
	struct egress_conf proxy; /* names are not resolved yet */
	bool https_proxy_given;

	struct prefix subnet;
	struct addr gateway;    /* set by options_finish(): the subnet's first address by default */
	struct addr host_alias; /* ... and the last but one */
	struct prefix prefix6;  /* the guests' IPv6 network, a /64; of length 0: none */
	enum ipv6_addresses ipv6_addresses;
	struct addr gateway6;    /* set by options_finish(): the prefix's ::1 */
	struct addr host_alias6; /* ... and its ::fe */
	/* Where DNS and DHCP are when not on the gateway, which is the host alias then: `gateway`
	 * is this address from options_finish() on, and guests route by `host_alias`. */
	struct addr dns_address;
	bool alias_routes;
	bool gateway_given;
	bool host_alias_given;
	bool prefix6_given;
	unsigned mtu;
	struct outbound outbound; /* the host's own addresses for connections out */
	bool host_access;
	bool guard;     /* the switch keeps guests from taking others' addresses */
	bool guest_api; /* guests find the API on the gateway */
	bool isolate;   /* guests reach the gateway, but not each other */
	unsigned connections_max;
	unsigned udp_flows_max;
	uint32_t busy_poll_us;
	uint32_t lease_seconds;
	struct options_dhcp dhcp;

	struct dns_resolver dns[DNS_RESOLVERS_MAX]; /* none: those of resolv_conf */
	unsigned dns_count;
	struct dns_route_option *dns_routes;
	unsigned dns_route_count;
	struct dns_zone_option *dns_zones;
	unsigned dns_zone_count;
	struct dns_record_option *dns_records;
	unsigned dns_record_count;
	struct dns_name *dns_search; /* besides `domain`, instead of the host's */
	unsigned dns_search_count;
	bool dns_search_given;
	bool no_dns;                        /* we answer no queries */
	char resolv_conf[OPTIONS_PATH_MAX]; /* "": /etc/resolv.conf */
	bool no_resolv_conf;
	char hosts_file[OPTIONS_PATH_MAX]; /* "": /etc/hosts */
	bool no_hosts_file;
	char domain[OPTIONS_NAME_MAX];

	char pid_file[OPTIONS_PATH_MAX];
	bool pid_file_bare;                /* without a newline, as gvproxy writes it */
	char pcap_file[OPTIONS_PATH_MAX];  /* "": none */
	struct gvproxy_conf *gvproxy;      /* owned; NULL: we are not gvproxy */
	char state_file[OPTIONS_PATH_MAX]; /* empty: none */
	char log_file[OPTIONS_PATH_MAX];
	char log_level[OPTIONS_NAME_MAX];
	int notify_fd;       /* -1: none */
	bool notify_systemd; /* by $NOTIFY_SOCKET */
	struct netns_option netns;
};

enum options_result {
	OPTIONS_RUN,  /* go on */
	OPTIONS_DONE, /* --help or --version has been printed: exit 0 */
	OPTIONS_BAD,  /* ret_error says why: exit 2 */
};

/* Reads the command line, and the configuration file that it names; what the command line says wins
 * over the file, and lists add up. *ret_options is to be freed with options_free() in any case. */
enum options_result options_parse(int argc, char **argv, struct options *ret_options,
				  char error[static OPTIONS_ERROR_MAX]);
void options_free(struct options *options);

/* The address that the first guest gets: the first --dhcp-host's, or else the first of the range.
 */
struct addr options_first_guest(const struct options *options);

/* What guests have as their router, of that family. */
static inline struct addr options_router(const struct options *options, sa_family_t family)
{
	if (family == AF_INET6)
		return options->alias_routes ? options->host_alias6 : options->gateway6;
	return options->alias_routes ? options->host_alias : options->gateway;
}

/* Prints how to start, for a call without arguments. */
void options_print_start(void);

/* The text forms; each returns 0, or -EINVAL with a message for the user. */
int options_parse_link(const char *text, struct link_option *ret,
		       char error[static OPTIONS_ERROR_MAX]);
int options_parse_vsock(const char *text, struct vsock_option *ret,
			char error[static OPTIONS_ERROR_MAX]);
int options_parse_api(const char *text, struct api_option *ret,
		      char error[static OPTIONS_ERROR_MAX]);
int options_parse_publish(const char *text, struct publish_option *ret,
			  char error[static OPTIONS_ERROR_MAX]);

/* The zones that --dns-zone and --dns-record make, for the DNS server. */
struct options_zones {
	struct dns_zone_conf *zones;
	size_t count;
	struct dns_record_conf *records; /* of all of them */
	size_t record_count;
};

/* Returns 0 with owned zones that borrow from `options`, or -ENOMEM. */
int options_zones_make(const struct options *options, struct options_zones *ret_zones);
void options_zones_free(struct options_zones *zones);

#endif
