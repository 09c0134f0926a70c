/* SPDX-License-Identifier: Apache-2.0 */
/* What gvproxy's flags and its configuration file say, before it is made netproxy's options. */
#ifndef NETPROXY_GVPROXY_PRIVATE_H
#define NETPROXY_GVPROXY_PRIVATE_H

#include "netproxy/gvproxy.h"

#define GVPROXY_LIST_MAX 256

/* Texts, owned. */
struct gvproxy_list {
	char *items[GVPROXY_LIST_MAX];
	unsigned count;
};

/* All texts are owned; NULL: not given. */
struct gvproxy_settings {
	char *config;
	char *services;
	char *log_level;
	char *pcap;
	char *mtu;
	char *ssh_port;
	char *subnet;
	char *gateway;
	char *device;
	char *host;
	char *gateway_mac;
	char *qemu, *vpnkit, *bess, *vfkit, *stdio;
	char *pid_file;
	char *log_file;
	char *notification;
	bool has_file; /* there is a configuration file, which leaves no defaults of guests */
	bool debug;
	bool ec2;
	bool block_all;
	struct gvproxy_list listen;
	struct gvproxy_list sockets, dests, users, identities; /* of forwards, side by side */
	/* Of the file alone. */
	struct gvproxy_list publish_local, publish_remote;
	struct gvproxy_list nat_from, nat_to;
	struct gvproxy_list lease_address, lease_mac;
	struct gvproxy_list search;
	struct gvproxy_list zones, zone_defaults; /* "" : no default */
	struct gvproxy_list record_names, record_regexps, record_ips;
	unsigned record_zone[GVPROXY_LIST_MAX]; /* of each record, the zone's index */
};

/* Sets a text anew. Returns 0 or -ENOMEM. */
int gvproxy_set(char **to, const char *value);
/* Returns 0, -ENOMEM, or -ENOSPC. */
int gvproxy_list_add(struct gvproxy_list *list, const char *value);
void gvproxy_settings_clear(struct gvproxy_settings *settings);

/* Reads the configuration file into settings. Returns 0, or -errno with a message. */
int gvproxy_yaml_read(const char *path, struct gvproxy_settings *settings,
		      char error[static OPTIONS_ERROR_MAX]);
/* The same from memory. */
int gvproxy_yaml_parse(const char *text, size_t size, struct gvproxy_settings *settings,
		       char error[static OPTIONS_ERROR_MAX]);

/* Makes netproxy's options of them. */
enum options_result gvproxy_translate(struct gvproxy_settings *settings,
				      struct options *ret_options,
				      char error[static OPTIONS_ERROR_MAX]);

#endif
