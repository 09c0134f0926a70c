/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the API's doors and answers its questions about leases and names; see control.h. */
#include "netproxy/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/api.h"
#include "api/vpnkit_door.h"
#include "base/log.h"
#include "netproxy/guests.h"
#include "netproxy/pcap_file.h"
#include "netproxy/service_counters.h"

LOG_MODULE("control");

/* Where guests find the API, at the gateway's address: gvproxy's place. */
#define NETWORK_PORT 80

struct control {
	struct loop *loop;
	const struct options *options;
	struct services *services;
	struct forwarder *forwarder;
	struct publish *publish;
	struct guests guests;
	struct pcap_file *pcap; /* NULL: none */
	struct api *api;
	struct vpnkit_door *vpnkits[OPTIONS_VPNKITS_MAX + OPTIONS_VSOCKS_MAX];
	unsigned vpnkit_count;
};

/* ---- Leases ---- */

struct lease_visit {
	struct control *control;
	api_lease_fn *fn;
	api_static_fn *static_fn;
	void *visitor;
};

static void visit_lease(void *arg, const struct dhcp_lease_info *info)
{
	struct lease_visit *visit = arg;
	uint64_t now = loop_now_ms(visit->control->loop);
	char name[DNS_LABEL_MAX + 1] = "";
	struct api_lease lease = {
		.address = info->address,
		.mac = info->mac,
		.hostname = name,
		.expires_s = API_LEASE_NEVER_ENDS,
	};

	services_guest_name(visit->control->services, &info->address, name);
	if (info->expires_ms != UINT64_MAX)
		lease.expires_s = info->expires_ms > now ? (info->expires_ms - now) / 1000 : 0;
	visit->fn(visit->visitor, &lease);
}

static void visit_leases(void *arg, api_lease_fn *fn, void *visitor)
{
	struct control *control = arg;
	struct lease_visit visit = {.control = control, .fn = fn, .visitor = visitor};
	const struct dhcp6_server *dhcp6 = services_dhcp6(control->services);

	dhcp_server_for_each(services_dhcp(control->services), visit_lease, &visit);
	if (dhcp6)
		dhcp6_server_for_each(dhcp6, visit_lease, &visit);
}

/* ---- Static leases ---- */

static void visit_static_lease(void *arg, const struct dhcp_reservation *lease)
{
	struct lease_visit *visit = arg;
	struct api_static_lease seen = {
		.address = lease->address,
		.mac = lease->mac,
		.by_mac = lease->by_mac,
		.hostname = lease->hostname,
		.owner = lease->owner == STATIC_LEASE_CONFIG  ? API_STATIC_CONFIG
			 : lease->owner == STATIC_LEASE_GUEST ? API_STATIC_GUEST
							      : API_STATIC_HOST,
		.connection = lease->owner < STATIC_LEASE_OWNERS ? 0 : lease->owner,
	};

	visit->static_fn(visit->visitor, &seen);
}

static void visit_static_leases(void *arg, api_static_fn *fn, void *visitor)
{
	struct control *control = arg;
	struct static_leases *leases = services_static_leases(control->services);
	struct lease_visit visit = {.control = control, .static_fn = fn, .visitor = visitor};

	if (leases)
		static_leases_for_each(leases, visit_static_lease, &visit);
}

static int no_dhcp(struct api_static_failure *failure)
{
	snprintf(failure->why, sizeof(failure->why),
		 "this netproxy gives no addresses: it runs with --no-dhcp");
	return -ENOTSUP;
}

static int add_static_lease(void *arg, const struct api_static_lease *lease,
			    struct api_static_failure *ret_failure)
{
	struct control *control = arg;
	struct static_leases *leases = services_static_leases(control->services);
	struct dhcp_reservation wanted = {
		.by_mac = true,
		.mac = lease->mac,
		.address = lease->address,
		.owner = lease->connection ? lease->connection : STATIC_LEASE_HOST,
	};

	if (!leases)
		return no_dhcp(ret_failure);
	snprintf(wanted.hostname, sizeof(wanted.hostname), "%s", lease->hostname);
	return static_leases_add(leases, &wanted, ret_failure);
}

static int remove_static_lease(void *arg, const struct addr *address, const struct mac *mac,
			       struct api_static_failure *ret_failure)
{
	struct control *control = arg;
	struct static_leases *leases = services_static_leases(control->services);

	if (!leases)
		return no_dhcp(ret_failure);
	return static_leases_remove(leases, address, mac, ret_failure);
}

static void drop_static_leases(void *arg, uint64_t connection)
{
	struct control *control = arg;
	struct static_leases *leases = services_static_leases(control->services);

	if (leases)
		static_leases_drop(leases, connection);
}

/* ---- Guests ---- */

static int guest_addr(void *arg, uint32_t guest_id, struct addr *ret)
{
	struct control *control = arg;

	return guests_address(&control->guests, guest_id, ret);
}

static bool guest_owns(void *arg, uint32_t guest_id, const struct addr *addr)
{
	struct control *control = arg;

	return guests_owns(&control->guests, guest_id, addr);
}

/* ---- Names ---- */

static int visit_zone(const struct dns_zone *zone, api_dns_fn *fn, void *visitor)
{
	struct api_dns_record *records = calloc(zone->record_count + 1, sizeof(*records));
	struct api_dns_zone seen = {
		.name = zone->text,
		.records = records,
		.record_count = zone->record_count,
		.default_ip = zone->default_ip,
		.is_shared = zone->is_shared,
	};

	if (!records)
		return -ENOMEM;
	for (size_t i = 0; i < zone->record_count; i++) {
		const struct dns_record_conf *conf = &zone->records[i]->conf;

		records[i] = (struct api_dns_record){
			.name = conf->name ? conf->name : "",
			.regexp = conf->regexp,
			.ip = conf->ip,
			.is_built_in = zone->records[i]->is_built_in,
		};
	}
	fn(visitor, &seen);
	free(records);
	return 0;
}

static void visit_zones(void *arg, api_dns_fn *fn, void *visitor)
{
	struct control *control = arg;
	const struct dns_zone *zones[DNS_ZONES_MAX];
	size_t count = dns_zones_list(dns_server_zones(services_dns(control->services)), zones);

	for (size_t i = 0; i < count; i++) {
		if (visit_zone(zones[i], fn, visitor) < 0)
			return;
	}
}

typedef int change_zone_fn(struct dns_server *server, const struct dns_zone_conf *conf, char *error,
			   size_t error_size);

static int change_zone(struct control *control, change_zone_fn *change,
		       const struct api_dns_zone *zone, char *error, size_t error_size)
{
	struct dns_record_conf *records = calloc(zone->record_count + 1, sizeof(*records));
	struct dns_zone_conf conf = {
		.name = zone->name,
		.records = records,
		.record_count = zone->record_count,
		.default_ip = zone->default_ip,
	};
	int r;

	if (!records)
		return -ENOMEM;
	for (size_t i = 0; i < zone->record_count; i++)
		records[i] = (struct dns_record_conf){
			.name = zone->records[i].name,
			.regexp = zone->records[i].regexp,
			.ip = zone->records[i].ip,
		};
	r = change(services_dns(control->services), &conf, error, error_size);
	if (r == 0)
		services_zones_changed(control->services);
	free(records);
	return r;
}

static int add_zone(void *arg, const struct api_dns_zone *zone, char *error, size_t error_size)
{
	return change_zone(arg, dns_server_add_zone, zone, error, error_size);
}

static int put_zone(void *arg, const struct api_dns_zone *zone, char *error, size_t error_size)
{
	return change_zone(arg, dns_server_put_zone, zone, error, error_size);
}

static int remove_zone(void *arg, const char *name)
{
	struct control *control = arg;
	int r = dns_server_remove_zone(services_dns(control->services), name);

	if (r == 0)
		services_zones_changed(control->services);
	return r;
}

/* ---- Doors ---- */

static int open_host_door(struct control *control, const struct api_option *option,
			  char error[static OPTIONS_ERROR_MAX])
{
	struct api_door door = {.kind = API_DOOR_HOST};
	char why[API_LISTEN_ERROR_MAX];
	int r;

	if (option->tcp && !addr_is_loopback(&option->at.addr))
		log_warn(
			"the API listens on an address that others can reach, and it asks nobody for a password");
	r = option->tcp ? api_listen_tcp(control->api, &option->at, &door, NULL, why)
			: api_listen_unix(control->api, option->path, &door, why);
	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "--api: %s", why);
	return r;
}

/* The vsock device connects its guest's connections to port P with the unix socket PATH_P. */
static int open_guest_door(struct control *control, unsigned index,
			   char error[static OPTIONS_ERROR_MAX])
{
	struct api_door door = {.kind = API_DOOR_GUEST, .guest_id = index + 1, .may_connect = true};
	char path[SOCK_PATH_MAX + 16];
	char why[API_LISTEN_ERROR_MAX];
	int r;

	snprintf(path, sizeof(path), "%s_%d", control->options->vsocks[index].path, API_VSOCK_PORT);
	r = api_listen_unix(control->api, path, &door, why);
	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "--vsock: the API for its guest: %s", why);
	return r;
}

/* A guest has called the gateway's port 80. */
static int serve_guest(void *arg, const struct endpoint *guest, int *ret_fd)
{
	struct control *control = arg;
	uint32_t id;
	int fds[2];
	int r = guests_identify(&control->guests, &guest->addr, &id);

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	r = api_serve_guest(control->api, id, fds[0]);
	if (r < 0)
		fd_close(&fds[1]);
	else
		*ret_fd = fds[1];
	return r;
}

static int open_network_door(struct control *control, char error[static OPTIONS_ERROR_MAX])
{
	int r = forwarder_serve_tcp(control->forwarder, NETWORK_PORT, serve_guest, control);

	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "the API inside the network: %s", strerror(-r));
	return r;
}

static int open_vpnkit_door(struct control *control, const struct api_backend *backend,
			    const char *path, uint32_t guest_id,
			    char error[static OPTIONS_ERROR_MAX])
{
	const struct api_door door = {
		.kind = guest_id ? API_DOOR_GUEST : API_DOOR_HOST,
		.guest_id = guest_id,
	};
	int r = vpnkit_door_new(control->loop, backend, &door, path,
				&control->vpnkits[control->vpnkit_count]);

	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "--vpnkit-port: can't listen at %s: %s", path,
			 strerror(-r));
	else
		control->vpnkit_count++;
	return r;
}

static int open_vpnkit_doors(struct control *control, const struct api_backend *backend,
			     char error[static OPTIONS_ERROR_MAX])
{
	const struct options *options = control->options;
	char path[SOCK_PATH_MAX + 16];
	int r = 0;

	for (unsigned i = 0; r == 0 && i < options->vpnkit_count; i++)
		r = open_vpnkit_door(control, backend, options->vpnkits[i].path, 0, error);
	for (unsigned i = 0; r == 0 && options->vpnkit_vsock && i < options->vsock_count; i++) {
		snprintf(path, sizeof(path), "%s_%d", options->vsocks[i].path, VPNKIT_VSOCK_PORT);
		r = open_vpnkit_door(control, backend, path, i + 1, error);
	}
	return r;
}

static int open_pcap(struct control *control, char error[static OPTIONS_ERROR_MAX])
{
	struct nswitch *sw = stack_switch(forwarder_stack(control->forwarder));
	const char *path = control->options->pcap_file;
	int r = pcap_file_new(control->loop, sw, path, &control->pcap);

	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "--pcap %.200s: %s", path, strerror(-r));
	return r;
}

static void visit_counters(void *arg, api_counter_fn *fn, void *visitor)
{
	const struct control *control = arg;

	service_counters_visit(control->services, fn, visitor);
}

int control_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		struct publish *publish, struct services *services,
		char error[static OPTIONS_ERROR_MAX], struct control **ret_control)
{
	struct control *control = calloc(1, sizeof(*control));
	struct api_backend backend = {
		.forwarder = forwarder,
		.publish = publish,
		.arg = control,
		.leases = visit_leases,
		.static_leases = visit_static_leases,
		.static_lease_add = add_static_lease,
		.static_lease_remove = remove_static_lease,
		.static_leases_drop = drop_static_leases,
		.dns_zones = visit_zones,
		.dns_add = add_zone,
		.dns_put = put_zone,
		.dns_remove = remove_zone,
		.guest_addr = guest_addr,
		.guest_owns = guest_owns,
		.counters = visit_counters,
	};
	int r = control ? 0 : -ENOMEM;

	if (r == 0) {
		control->loop = loop;
		control->options = options;
		control->services = services;
		control->forwarder = forwarder;
		control->publish = publish;
		control->guests = (struct guests){
			.options = options, .services = services, .forwarder = forwarder};
		r = api_new(loop, &backend, &control->api);
	}
	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "the API can't start: %s", strerror(-r));
	for (unsigned i = 0; r == 0 && i < options->api_count; i++)
		r = open_host_door(control, &options->apis[i], error);
	for (unsigned i = 0; r == 0 && i < options->vsock_count; i++)
		r = open_guest_door(control, i, error);
	if (r == 0 && options->guest_api)
		r = open_network_door(control, error);
	if (r == 0 && options->pcap_file[0])
		r = open_pcap(control, error);
	if (r == 0)
		r = open_vpnkit_doors(control, &backend, error);
	if (r < 0) {
		control_free(control);
		return r;
	}
	*ret_control = control;
	return 0;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	for (unsigned i = 0; i < control->vpnkit_count; i++)
		vpnkit_door_free(control->vpnkits[i]);
	api_free(control->api);
	pcap_file_free(control->pcap);
	free(control);
}
