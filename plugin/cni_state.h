/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record of what an attachment published: one small file per attachment, in a directory per
 * network.
 *
 * DEL withdraws what the record says, not what the configuration asks for: after an ADD that failed
 * because another container has the port, the runtime calls DEL, and that must not take the other
 * container's port away. GC finds attachments whose DEL never came. The directory lies in /run,
 * so that the records go with the guest's boot, as its forwards do.
 */
#ifndef PLUGIN_CNI_STATE_H
#define PLUGIN_CNI_STATE_H

#include <json-c/json.h>

/* Largest record read back: CNI_PORTS_MAX forwards of about 100 bytes. */
#define CNI_RECORD_SIZE_MAX (1024 * 1024)

/* Which attachment; all checked by cni_conf.h, borrowed. */
struct cni_attachment {
	const char *state_dir;
	const char *network;
	const char *container_id;
	const char *ifname;
};

/* Writes the record, replacing another, so that either the old or the new one survives a crash.
 * Returns 0 or -errno. */
int cni_state_save(const struct cni_attachment *at, struct json_object *forwards);
/* Returns 0 with an owned array of objects, -ENOENT when there is no record, -EBADMSG when it is
 * damaged, or another -errno. */
int cni_state_load(const struct cni_attachment *at, struct json_object **ret_forwards);
/* Returns 0, also when there was no record, or -errno. */
int cni_state_remove(const struct cni_attachment *at);

typedef int cni_state_fn(void *arg, const struct cni_attachment *at);

/* Calls `fn` for each recorded attachment of a network, and goes on when it fails. `fn` may remove
 * its record. Returns the first failure, or 0. */
int cni_state_for_each(const char *state_dir, const char *network, cni_state_fn *fn, void *arg);

#endif
