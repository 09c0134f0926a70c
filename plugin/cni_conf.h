/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container runtime asks of the plugin: the CNI_ variables of the environment and the
 * network configuration on standard input, decoded and checked (CNI specification 1.1, sections 2
 * and 3).
 */
#ifndef PLUGIN_CNI_CONF_H
#define PLUGIN_CNI_CONF_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "client/api_reach.h"
#include "plugin/cni_error.h"

/* Largest configuration taken from standard input; a prevResult with many addresses fits amply. */
#define CNI_CONF_SIZE_MAX (1024 * 1024)
/* Most port mappings of one container. */
#define CNI_PORTS_MAX 4096
/* Most attachments that GC may name as valid. */
#define CNI_ATTACHMENTS_MAX 16384
/* Longest network name and container ID; both become file names. */
#define CNI_NAME_MAX 200

#define CNI_STATE_DIR_DEFAULT  "/run/netproxy-cni"
#define CNI_VSOCK_PORT_DEFAULT 6565
#define CNI_TIMEOUT_MS_DEFAULT 10000
#define CNI_TIMEOUT_MS_MAX     120000

enum cni_command {
	CNI_ADD,
	CNI_DEL,
	CNI_CHECK,
	CNI_GC,
	CNI_STATUS,
	CNI_VERSION,
};

/* In order, so that they can be compared. */
enum cni_version {
	CNI_0_3_1,
	CNI_0_4_0,
	CNI_1_0_0,
	CNI_1_1_0,
	CNI_VERSION_COUNT,
};

/* Where a port's forward goes to. */
enum cni_target {
	CNI_TARGET_BY_PORT,   /* a port of one host address to the container, others to the guest */
	CNI_TARGET_GUEST,     /* to the guest's own port, from which portmap leads on */
	CNI_TARGET_CONTAINER, /* to the container's own address and port, by way of the guest */
};

/* The variables as they stand in the environment, borrowed; NULL where unset. */
struct cni_env {
	const char *command;
	const char *container_id;
	const char *netns;
	const char *ifname;
};

/* One entry of runtimeConfig.portMappings. */
struct cni_port {
	uint16_t host_port;      /* on the host, and in the guest, where portmap takes it up */
	uint16_t container_port; /* in the container; portmap's business, or the forward's */
	bool udp;
	struct addr host_ip; /* AF_UNSPEC: all addresses */
};

struct cni_conf {
	struct json_object *root; /* everything, owned */
	enum cni_version version;
	const char *name;        /* the network's; borrowed from root, as all below */
	const char *state_dir;   /* where attachments are recorded */
	struct api_reach *reach; /* how netproxy is reached; owned */
	uint32_t timeout_ms;     /* for all of a command's requests together */
	enum cni_target target;
	struct addr container4, container6; /* in prevResult; AF_UNSPEC: none of that family */
	struct cni_port *ports;             /* owned */
	size_t port_count;
	struct json_object *prev_result; /* NULL when there is none */
	struct json_object
		*attachments; /* cni.dev/valid-attachments, checked; NULL when there is none */
};

/* "1.1.0" and so on. */
const char *cni_version_name(enum cni_version version);
/* Returns 0, or -EINVAL when we don't speak that version. */
int cni_version_parse(const char *text, enum cni_version *ret);

/* Reads CNI_COMMAND and checks the variables that this command needs. Returns 0 or fails with
 * CNI_ERROR_ENVIRONMENT. */
int cni_env_check(const struct cni_env *env, enum cni_command *ret_command,
		  struct cni_error *error);

/* Decodes the configuration for `command`. On success the caller calls cni_conf_clear(). */
int cni_conf_decode(const char *text, size_t size, enum cni_command command,
		    struct cni_conf *ret_conf, struct cni_error *error);
void cni_conf_clear(struct cni_conf *conf);

/* Whether the text can be a network name or a container ID, and so a file name: letters, digits,
 * "_", ".",
 * "-", beginning with a letter or digit. */
bool cni_name_valid(const char *text);

#endif
