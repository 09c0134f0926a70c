/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a client of VPNKit's port control sees, and its handles of them: README, and for
 * each port a directory with a file "ctl". See vpnkit_ports.h for what they are for.
 *
 * A fid is the client's handle of a file: it walks, and once it is open it reads and writes. A
 * directory that is removed stays in memory, without a name, for as long as fids refer to it.
 */
#ifndef API_VPNKIT_TREE_H
#define API_VPNKIT_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "api/vpnkit_ports.h"
#include "api/vpnkit_spec.h"
#include "base/hmap.h"
#include "base/list.h"
#include "p9/p9_message.h"

#define VPNKIT_ANSWER_MAX  (VPNKIT_SPEC_MAX + VPNKIT_ERROR_MAX)
#define VPNKIT_README_NAME "README"
#define VPNKIT_CTL_NAME    "ctl"

/* What README says. */
extern const char vpnkit_readme[];

enum vpnkit_file { VPNKIT_ROOT, VPNKIT_README, VPNKIT_DIR, VPNKIT_CTL };

struct vpnkit_name {
	struct list in_tree; /* in the order of their numbers; unlinked when removed */
	uint64_t number;
	unsigned fids; /* that refer to it */
	bool is_removed;
	uint64_t forward; /* 0: none */
	uint32_t by_fid;  /* that wrote it */
	char text[P9_NAME_MAX + 1];
	char answer[VPNKIT_ANSWER_MAX]; /* what reading its ctl gives */
};

struct vpnkit_fid {
	struct hmap_node node;
	uint32_t number;
	enum vpnkit_file file;
	struct vpnkit_name *name; /* of VPNKIT_DIR and VPNKIT_CTL */
	bool is_open;
	uint8_t access;
	uint64_t next_offset; /* of a directory that is read: where the next read begins, ... */
	uint64_t next_number; /* ... and with what */
};

struct vpnkit_tree {
	void (*stop)(void *arg, uint64_t forward); /* the forward's name or file has gone */
	void *arg;
	struct hmap fids;
	struct hash_key key;
	struct list names;
	unsigned name_count;
	uint64_t names_made;
};

void vpnkit_tree_init(struct vpnkit_tree *tree, void (*stop)(void *arg, uint64_t forward),
		      void *arg);
/* All fids, names and forwards go. */
void vpnkit_tree_clear(struct vpnkit_tree *tree);
void vpnkit_tree_destroy(struct vpnkit_tree *tree);

/* A new directory. -EINVAL (what can't be a name), -EEXIST, -ENOSPC at VPNKIT_NAMES_MAX, -ENOMEM.
 */
int vpnkit_name_new(struct vpnkit_tree *tree, const struct p9_text *text, struct vpnkit_name **ret);
/* Takes the directory out of the tree, and ends its forward. */
void vpnkit_name_remove(struct vpnkit_tree *tree, struct vpnkit_name *name);

/* Returns NULL when the client has no such fid. */
struct vpnkit_fid *vpnkit_fid_find(const struct vpnkit_tree *tree, uint32_t number);
/* A new fid, of the root. -EBADF (it can't be one, or is there), -ENFILE at VPNKIT_FIDS_MAX,
 * -ENOMEM. */
int vpnkit_fid_new(struct vpnkit_tree *tree, uint32_t number, struct vpnkit_fid **ret);
/* Makes it the handle of another file. */
void vpnkit_fid_point(struct vpnkit_fid *fid, enum vpnkit_file file, struct vpnkit_name *name);
/* Ends a fid. With the file by which a forward was made, the forward goes. */
void vpnkit_fid_clunk(struct vpnkit_tree *tree, struct vpnkit_fid *fid);

/* One step of a walk. -ENOTDIR, -ENOENT. */
int vpnkit_tree_step(struct vpnkit_tree *tree, const struct p9_text *text, enum vpnkit_file *file,
		     struct vpnkit_name **name);

/* `name` is NULL for the root and README. */
struct p9_qid vpnkit_file_qid(enum vpnkit_file file, const struct vpnkit_name *name);
struct p9_stat vpnkit_file_stat(enum vpnkit_file file, const struct vpnkit_name *name);

#endif
