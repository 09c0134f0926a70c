/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the options share: the table (options_table.c) and its readers (options.c). */
#ifndef NETPROXY_OPTIONS_PRIVATE_H
#define NETPROXY_OPTIONS_PRIVATE_H

#include <stddef.h>

#include "netproxy/options.h"

#define DEFAULT_SUBNET      "192.168.65.0/24"
#define DEFAULT_PREFIX6     "fd65:6e70:7879::/64"
#define DEFAULT_MTU         1500
#define DEFAULT_CONNECTIONS 65536
#define DEFAULT_UDP_FLOWS   4096
#define DEFAULT_BUSY_POLL   0
#define DEFAULT_LEASE_S     3600

/* The flags that are handled while reading the command line. */
#define OPTION_CONFIG  "config"
#define OPTION_HELP    "help"
#define OPTION_VERSION "version"

typedef int option_apply_fn(struct options *options, const char *value,
			    char error[static OPTIONS_ERROR_MAX]);

struct option_def {
	const char *name;
	const char *value; /* for --help; NULL: a switch */
	option_apply_fn *apply;
	const char *help;
	bool flag_only; /* not a key of the configuration file */
};

extern const struct option_def option_defs[];
#define OPTION_DEFS_MAX 128
/* Number of options, at most OPTION_DEFS_MAX. */
size_t option_def_count(void);

void options_print_help(void);
/* options_link.c */
option_apply_fn options_apply_link;
/* What the switch calls the link (struct link.name), without a number. */
#define LINK_TEXT_MAX (2 * OPTIONS_PATH_MAX + 32)
void options_link_name(const struct link_option *link, char to[static LINK_TEXT_MAX]);

/* options_text.c: parts of text forms. */
/* Copies `size` bytes of text and the NUL, if they are any and fit. */
bool options_copy_text(char *to, size_t room, const char *from, size_t size);
/* The value of `key` in "...,key=value,..." behind the first comma; NULL when absent. */
const char *options_find_key(const char *text, const char *key, size_t *ret_size);
/* Whether every "key=" behind the first comma is one of two, each at most once; `key_b` may be
 * NULL. */
bool options_only_keys(const char *text, const char *key_a, const char *key_b);

/* options_publish.c */
option_apply_fn options_apply_publish, options_apply_guest_publish;
/* Puts the first guest where none is named, and checks that they are guests. */
int options_finish_publish(struct options *options, const struct addr *first_guest,
			   char error[static OPTIONS_ERROR_MAX]);

/* Writes that `value` was given where something else was expected; returns -EINVAL. */
int options_complain(char error[static OPTIONS_ERROR_MAX], const char *value, const char *expected);
/* A decimal number in that range. Returns 0, or -EINVAL with a message. */
int options_number(const char *value, unsigned long min, unsigned long max, unsigned long *ret,
		   char error[static OPTIONS_ERROR_MAX]);
/* Copies a text of 1 to `room` - 1 characters. Returns 0, or -EINVAL with a message. */
int options_set_text(char *to, size_t room, const char *value,
		     char error[static OPTIONS_ERROR_MAX]);
/* options_dns.c */
option_apply_fn options_apply_dns, options_apply_dns_route, options_apply_dns_zone,
	options_apply_dns_record, options_apply_dns_search, options_apply_resolv_conf,
	options_apply_hosts_file;
/* Checks that the records' zones are there. Returns 0, or -EINVAL with a message. */
int options_finish_dns(const struct options *options, char error[static OPTIONS_ERROR_MAX]);
void options_free_dns(struct options *options);

/* options_policy.c */
option_apply_fn options_apply_allow, options_apply_deny, options_apply_rule, options_apply_egress,
	options_apply_no_guard, options_apply_isolate;
/* Checks the rules, and puts those behind the first `file_rule_count` in front of them. Returns 0,
 * or -EINVAL with a message. */
int options_finish_policy(struct options *options, unsigned file_rule_count,
			  char error[static OPTIONS_ERROR_MAX]);

/* Room for one more element in an array of elements of that size; NULL with a message at `max` or
 * without memory. */
void *options_grow(void **array, unsigned *count, size_t size, unsigned max,
		   char error[static OPTIONS_ERROR_MAX]);

/* options_api.c */
option_apply_fn options_apply_no_guest_api, options_apply_pcap;

/* options_vpnkit.c */
option_apply_fn options_apply_vpnkit_port;

/* options_proxy.c */
option_apply_fn options_apply_http_proxy, options_apply_https_proxy, options_apply_no_proxy;

/* options_ipv6.c */
/* Fills in our addresses. Returns 0, or -EINVAL with a message when the links are no good for IPv6.
 */
int options_finish_ipv6(struct options *options, char error[static OPTIONS_ERROR_MAX]);
option_apply_fn options_apply_ipv6_addresses;

/* options_outbound.c */
option_apply_fn options_apply_outbound_address, options_apply_outbound_address6;

/* options_netns.c */
option_apply_fn options_apply_netns, options_apply_netns_attach, options_apply_ifname,
	options_apply_netns_address, options_apply_netns_mac, options_apply_resolv_out,
	options_apply_ready_fd, options_apply_exit_fd, options_apply_sandbox, options_apply_seccomp,
	options_apply_slirp4netns_api, options_apply_dns_address, options_apply_no_dns;
/* Puts the services where --dns-address says; gateway and alias are there already. Both return 0,
 * or -errno with a message. */
int options_finish_dns_address(struct options *options, char error[static OPTIONS_ERROR_MAX]);
/* Makes a link and a static lease for the namespace. */
int options_finish_netns(struct options *options, char error[static OPTIONS_ERROR_MAX]);

/* options_dhcp.c */
option_apply_fn options_apply_dhcp_host, options_apply_dhcp_range, options_apply_dhcp_max,
	options_apply_dhcp_by_id, options_apply_no_dhcp, options_apply_dhcp_option,
	options_apply_dhcp_route, options_apply_dhcp_boot, options_apply_ntp;
/* Returns 0, or -EINVAL with a message when DHCP can't work like that. */
int options_finish_dhcp(const struct options *options, char error[static OPTIONS_ERROR_MAX]);
void options_free_dhcp(struct options *options);

/* options_dhcp_code.c: an option with owned data. */
int options_parse_dhcp_option(const char *text, struct dhcp_extra *ret,
			      char error[static OPTIONS_ERROR_MAX]);
/* Bytes in hexadecimal, one colon allowed between two. Returns their number, or -EINVAL. */
int options_parse_hex(const char *text, uint8_t *to, size_t to_size);

#endif
