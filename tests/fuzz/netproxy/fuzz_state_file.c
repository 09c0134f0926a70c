/* SPDX-License-Identifier: Apache-2.0 */
/* A state file that anybody may have edited, with DNS zones and static leases: netproxy starts with
 * it, and what it took from it is saved, taken, and saved again as it was. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "netproxy/disk_sync.h"
#include "netproxy/static_leases.h"
#include "netproxy/zone_state.h"
#include "fuzz.h"

static char path[FUZZ_PATH_MAX], broken[FUZZ_PATH_MAX + 8];

/* Stands in for disk_sync.c: the kernel takes its time to set that up and to end it, for each
 * input. Without it the state file is written through at once. */
int disk_sync_new(struct loop *loop, disk_sync_fn *fn, void *arg, struct disk_sync **ret_sync)
{
	(void)loop;
	(void)fn;
	(void)arg;
	(void)ret_sync;
	return -ENOSYS;
}

void disk_sync_free(struct disk_sync *sync)
{
	must(sync == NULL);
}

int disk_sync_start(struct disk_sync *sync, int fd)
{
	(void)fd;
	must(sync == NULL);
	return -ENOSYS;
}

void disk_sync_forget(struct disk_sync *sync)
{
	must(sync == NULL);
}

static void write_file(const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	close(fd);
}

/* Returns what is in the file, owned. */
static struct json_object *read_file(void)
{
	struct json_object *object = json_object_from_file(path);

	must(object != NULL);
	return object;
}

static struct dns_server *open_dns(struct loop *loop)
{
	const struct dns_conf conf = {
		.gateway4 = addr_from_v4(0xc0a84101u), .resolv_conf_path = "", .hosts_path = ""};
	struct dns_server *dns;
	char error[256];

	must(dns_server_new(loop, &conf, error, sizeof(error), &dns) == 0);
	return dns;
}

static struct dhcp_server *open_dhcp(struct prefix *ret_subnet)
{
	const struct dhcp_conf conf = {
		.subnet = {.addr = addr_from_v4(0xc0a84100u), .length = 24},
		.gateway = addr_from_v4(0xc0a84101u),
		.lease_seconds = 3600,
	};
	struct dhcp_server *dhcp;
	char error[256];

	must(dhcp_server_new(&conf, error, sizeof(error), &dhcp) == 0);
	*ret_subnet = conf.subnet;
	return dhcp;
}

/* A run of netproxy with that file. Returns what it left, owned. */
static struct json_object *run(void)
{
	struct static_leases *leases;
	struct zone_state *zones;
	struct dhcp_server *dhcp;
	struct dns_server *dns;
	struct state_file *state;
	struct prefix subnet;
	struct loop *loop;
	struct json_object *saved;

	must(loop_new(&loop) == 0);
	loop_use_virtual_time(loop, 1000000);
	must(state_file_new(loop, path, &state) == 0);
	dns = open_dns(loop);
	dhcp = open_dhcp(&subnet);
	must(zone_state_new(dns, state, &zones) == 0);
	must(static_leases_new(loop, dhcp, &subnet, state, &leases) == 0);
	state_file_changed(state);
	must(state_file_flush(state) == 0);
	saved = read_file();
	static_leases_free(leases);
	zone_state_free(zones);
	dhcp_server_free(dhcp);
	dns_server_free(dns);
	state_file_free(state);
	loop_free(loop);
	return saved;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_object *first, *second;

	snprintf(path, sizeof(path), "%s/state", fuzz_directory());
	snprintf(broken, sizeof(broken), "%s.broken", path);
	log_set_file("/dev/null");
	write_file(data, size);
	first = run();
	second = run();
	/* The order of sections is of no meaning. */
	must(json_object_equal(first, second));
	json_object_put(first);
	json_object_put(second);
	return 0;
}
