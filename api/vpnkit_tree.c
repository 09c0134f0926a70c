/* SPDX-License-Identifier: Apache-2.0 */
/* The tree of a client of VPNKit's port control; see vpnkit_tree.h. */
#include "api/vpnkit_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIR_MODE      (P9_MODE_DIR | 0755u)
#define FILES_OF_NAME 2 /* the directory and its ctl */

const char vpnkit_readme[] =
	"A directory here is a forwarded port. To make one:\n"
	"\n"
	"  mkdir NAME\n"
	"  open NAME/ctl, write tcp:IP:PORT:tcp:IP:PORT (the host's side first; or udp)\n"
	"  read NAME/ctl from the beginning: \"OK\" and the forward, or \"ERROR\" and why not\n"
	"\n"
	"It lasts as long as the file is open.\n";

/* ---- Names ---- */

static void stop_forward(struct vpnkit_tree *tree, struct vpnkit_name *name)
{
	if (name->forward)
		tree->stop(tree->arg, name->forward);
	name->forward = 0;
}

static void name_release(struct vpnkit_name *name)
{
	if (name->is_removed && name->fids == 0)
		free(name);
}

void vpnkit_name_remove(struct vpnkit_tree *tree, struct vpnkit_name *name)
{
	if (name->is_removed)
		return;
	stop_forward(tree, name);
	list_remove(&name->in_tree);
	name->is_removed = true;
	tree->name_count--;
}

static struct vpnkit_name *find_name(struct vpnkit_tree *tree, const struct p9_text *text)
{
	list_for_each (node, &tree->names) {
		struct vpnkit_name *name = container_of(node, struct vpnkit_name, in_tree);

		if (strlen(name->text) == text->size &&
		    memcmp(name->text, text->data, text->size) == 0)
			return name;
	}
	return NULL;
}

static bool text_is(const struct p9_text *text, const char *word)
{
	return text->size == strlen(word) && memcmp(text->data, word, text->size) == 0;
}

static bool is_good_name(const struct p9_text *text)
{
	if (text->size == 0 || text->size > P9_NAME_MAX || text_is(text, ".") ||
	    text_is(text, ".."))
		return false;
	for (unsigned i = 0; i < text->size; i++) {
		unsigned char c = (unsigned char)text->data[i];

		if (c <= ' ' || c >= 0x7f || c == '/')
			return false;
	}
	return true;
}

int vpnkit_name_new(struct vpnkit_tree *tree, const struct p9_text *text, struct vpnkit_name **ret)
{
	struct vpnkit_name *name;

	if (!is_good_name(text))
		return -EINVAL;
	if (text_is(text, VPNKIT_README_NAME) || find_name(tree, text))
		return -EEXIST;
	if (tree->name_count >= VPNKIT_NAMES_MAX)
		return -ENOSPC;
	name = calloc(1, sizeof(*name));
	if (!name)
		return -ENOMEM;
	memcpy(name->text, text->data, text->size);
	snprintf(name->answer, sizeof(name->answer),
		 "ERROR nothing was asked for yet: see /" VPNKIT_README_NAME "\n");
	name->number = ++tree->names_made;
	list_add_tail(&tree->names, &name->in_tree);
	tree->name_count++;
	*ret = name;
	return 0;
}

/* ---- Fids ---- */

static uint64_t fid_hash(const struct vpnkit_tree *tree, uint32_t number)
{
	return hash_bytes(&tree->key, &number, sizeof(number));
}

struct vpnkit_fid *vpnkit_fid_find(const struct vpnkit_tree *tree, uint32_t number)
{
	for (struct hmap_node *node = hmap_find(&tree->fids, fid_hash(tree, number)); node;
	     node = hmap_find_next(node)) {
		struct vpnkit_fid *fid = container_of(node, struct vpnkit_fid, node);

		if (fid->number == number)
			return fid;
	}
	return NULL;
}

void vpnkit_fid_point(struct vpnkit_fid *fid, enum vpnkit_file file, struct vpnkit_name *name)
{
	struct vpnkit_name *old = fid->name;

	if (name)
		name->fids++;
	fid->file = file;
	fid->name = name;
	if (old) {
		old->fids--;
		name_release(old);
	}
}

int vpnkit_fid_new(struct vpnkit_tree *tree, uint32_t number, struct vpnkit_fid **ret)
{
	struct vpnkit_fid *fid;
	int r;

	if (number == P9_NO_FID || vpnkit_fid_find(tree, number))
		return -EBADF;
	if (tree->fids.count >= VPNKIT_FIDS_MAX)
		return -ENFILE;
	fid = calloc(1, sizeof(*fid));
	if (!fid)
		return -ENOMEM;
	fid->number = number;
	r = hmap_insert(&tree->fids, &fid->node, fid_hash(tree, number));
	if (r < 0)
		free(fid);
	else
		*ret = fid;
	return r;
}

void vpnkit_fid_clunk(struct vpnkit_tree *tree, struct vpnkit_fid *fid)
{
	struct vpnkit_name *name = fid->name;

	if (name && name->forward && fid->file == VPNKIT_CTL && name->by_fid == fid->number)
		vpnkit_name_remove(tree, name);
	vpnkit_fid_point(fid, VPNKIT_ROOT, NULL);
	hmap_remove(&tree->fids, &fid->node);
	free(fid);
}

void vpnkit_tree_clear(struct vpnkit_tree *tree)
{
	struct hmap_node *node;

	while ((node = hmap_next(&tree->fids, NULL)))
		vpnkit_fid_clunk(tree, container_of(node, struct vpnkit_fid, node));
	list_for_each_safe (each, &tree->names) {
		struct vpnkit_name *name = container_of(each, struct vpnkit_name, in_tree);

		vpnkit_name_remove(tree, name);
		name_release(name);
	}
}

/* ---- Files ---- */

struct p9_qid vpnkit_file_qid(enum vpnkit_file file, const struct vpnkit_name *name)
{
	uint64_t number = name ? name->number * FILES_OF_NAME : 0;
	bool is_dir = file == VPNKIT_ROOT || file == VPNKIT_DIR;

	/* 0 and 1 are the root and README. */
	return (struct p9_qid){
		.type = is_dir ? P9_QID_DIR : P9_QID_FILE,
		.path = number + (file == VPNKIT_README || file == VPNKIT_CTL),
	};
}

struct p9_stat vpnkit_file_stat(enum vpnkit_file file, const struct vpnkit_name *name)
{
	struct p9_stat stat = {.qid = vpnkit_file_qid(file, name), .mode = DIR_MODE, .name = "/"};

	if (file == VPNKIT_README) {
		stat.mode = 0444;
		stat.size = sizeof(vpnkit_readme) - 1;
		stat.name = VPNKIT_README_NAME;
	} else if (file == VPNKIT_CTL) {
		stat.mode = 0644;
		stat.size = strlen(name->answer);
		stat.name = VPNKIT_CTL_NAME;
	} else if (file == VPNKIT_DIR) {
		stat.name = name->text;
	}
	return stat;
}

int vpnkit_tree_step(struct vpnkit_tree *tree, const struct p9_text *text, enum vpnkit_file *file,
		     struct vpnkit_name **name)
{
	if (*file != VPNKIT_ROOT && *file != VPNKIT_DIR)
		return -ENOTDIR;
	if (*name && (*name)->is_removed)
		return -ENOENT;
	if (text_is(text, "..")) {
		*file = VPNKIT_ROOT;
		*name = NULL;
	} else if (*file == VPNKIT_DIR) {
		if (!text_is(text, VPNKIT_CTL_NAME))
			return -ENOENT;
		*file = VPNKIT_CTL;
	} else if (text_is(text, VPNKIT_README_NAME)) {
		*file = VPNKIT_README;
	} else {
		struct vpnkit_name *found = find_name(tree, text);

		if (!found)
			return -ENOENT;
		*file = VPNKIT_DIR;
		*name = found;
	}
	return 0;
}

/* ---- Life ---- */

void vpnkit_tree_init(struct vpnkit_tree *tree, void (*stop)(void *arg, uint64_t forward),
		      void *arg)
{
	*tree = (struct vpnkit_tree){.stop = stop, .arg = arg, .key = hash_key_random()};
	hmap_init(&tree->fids);
	list_init(&tree->names);
}

void vpnkit_tree_destroy(struct vpnkit_tree *tree)
{
	vpnkit_tree_clear(tree);
	hmap_destroy(&tree->fids);
}
