/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree of a client of VPNKit's port control; see vpnkit_ports.h.
 *
 * A fid is the client's handle of a file: it walks, and once it is open it reads and writes. A
 * directory that is removed stays in memory, without a name, for as long as fids refer to it.
 */
#include "api/vpnkit_ports.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/vpnkit_spec.h"
#include "base/hmap.h"
#include "base/list.h"
#include "p9/p9_message.h"

#define ANSWER_MAX    (VPNKIT_SPEC_MAX + VPNKIT_ERROR_MAX)
#define MESSAGE_MIN   P9_SMALL_REPLY_MAX
#define README_NAME   "README"
#define CTL_NAME      "ctl"
#define DIR_MODE      (P9_MODE_DIR | 0755u)
#define FILES_OF_NAME 2 /* the directory and its ctl */

static const char readme[] =
	"A directory here is a forwarded port. To make one:\n"
	"\n"
	"  mkdir NAME\n"
	"  open NAME/ctl, write tcp:IP:PORT:tcp:IP:PORT (the host's side first; or udp)\n"
	"  read NAME/ctl from the beginning: \"OK\" and the forward, or \"ERROR\" and why not\n"
	"\n"
	"It lasts as long as the file is open.\n";

enum file { FILE_ROOT, FILE_README, FILE_DIR, FILE_CTL };

struct name {
	struct list in_tree; /* in the order of their numbers; unlinked when removed */
	uint64_t number;
	unsigned fids; /* that refer to it */
	bool is_removed;
	uint64_t forward; /* 0: none */
	uint32_t by_fid;  /* that wrote it */
	char text[P9_NAME_MAX + 1];
	char answer[ANSWER_MAX];
};

struct fid {
	struct hmap_node node;
	uint32_t number;
	enum file file;
	struct name *name; /* of FILE_DIR and FILE_CTL */
	bool is_open;
	uint8_t access;
	uint64_t next_offset; /* of a directory that is read: where the next read begins, ... */
	uint64_t next_number; /* ... and with what */
};

struct vpnkit_ports {
	const struct vpnkit_ports_ops *ops;
	void *arg;
	uint32_t message_max; /* 0: no version agreed on */
	struct hmap fids;
	struct hash_key key;
	struct list names;
	unsigned name_count;
	uint64_t names_made;
};

/* ---- Names ---- */

static void stop_forward(struct vpnkit_ports *ports, struct name *name)
{
	if (name->forward)
		ports->ops->stop(ports->arg, name->forward);
	name->forward = 0;
}

static void name_release(struct name *name)
{
	if (name->is_removed && name->fids == 0)
		free(name);
}

static void name_remove(struct vpnkit_ports *ports, struct name *name)
{
	if (name->is_removed)
		return;
	stop_forward(ports, name);
	list_remove(&name->in_tree);
	name->is_removed = true;
	ports->name_count--;
}

static struct name *find_name(struct vpnkit_ports *ports, const struct p9_text *text)
{
	list_for_each (node, &ports->names) {
		struct name *name = container_of(node, struct name, in_tree);

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

static int name_new(struct vpnkit_ports *ports, const struct p9_text *text, struct name **ret)
{
	struct name *name;

	if (!is_good_name(text))
		return -EINVAL;
	if (text_is(text, README_NAME) || find_name(ports, text))
		return -EEXIST;
	if (ports->name_count >= VPNKIT_NAMES_MAX)
		return -ENOSPC;
	name = calloc(1, sizeof(*name));
	if (!name)
		return -ENOMEM;
	memcpy(name->text, text->data, text->size);
	snprintf(name->answer, sizeof(name->answer),
		 "ERROR nothing was asked for yet: see /" README_NAME "\n");
	name->number = ++ports->names_made;
	list_add_tail(&ports->names, &name->in_tree);
	ports->name_count++;
	*ret = name;
	return 0;
}

/* ---- Fids ---- */

static uint64_t fid_hash(const struct vpnkit_ports *ports, uint32_t number)
{
	return hash_bytes(&ports->key, &number, sizeof(number));
}

static struct fid *find_fid(const struct vpnkit_ports *ports, uint32_t number)
{
	for (struct hmap_node *node = hmap_find(&ports->fids, fid_hash(ports, number)); node;
	     node = hmap_find_next(node)) {
		struct fid *fid = container_of(node, struct fid, node);

		if (fid->number == number)
			return fid;
	}
	return NULL;
}

static void fid_point(struct fid *fid, enum file file, struct name *name)
{
	struct name *old = fid->name;

	if (name)
		name->fids++;
	fid->file = file;
	fid->name = name;
	if (old) {
		old->fids--;
		name_release(old);
	}
}

static int fid_new(struct vpnkit_ports *ports, uint32_t number, struct fid **ret)
{
	struct fid *fid;
	int r;

	if (number == P9_NO_FID || find_fid(ports, number))
		return -EBADF;
	if (ports->fids.count >= VPNKIT_FIDS_MAX)
		return -ENFILE;
	fid = calloc(1, sizeof(*fid));
	if (!fid)
		return -ENOMEM;
	fid->number = number;
	r = hmap_insert(&ports->fids, &fid->node, fid_hash(ports, number));
	if (r < 0)
		free(fid);
	else
		*ret = fid;
	return r;
}

/* With the file by which a forward was made, the forward goes. */
static void fid_clunk(struct vpnkit_ports *ports, struct fid *fid)
{
	struct name *name = fid->name;

	if (name && name->forward && fid->file == FILE_CTL && name->by_fid == fid->number)
		name_remove(ports, name);
	fid_point(fid, FILE_ROOT, NULL);
	hmap_remove(&ports->fids, &fid->node);
	free(fid);
}

static void clear(struct vpnkit_ports *ports)
{
	struct hmap_node *node;

	while ((node = hmap_next(&ports->fids, NULL)))
		fid_clunk(ports, container_of(node, struct fid, node));
	list_for_each_safe (each, &ports->names) {
		struct name *name = container_of(each, struct name, in_tree);

		name_remove(ports, name);
		name_release(name);
	}
}

/* ---- Files ---- */

static struct p9_qid qid_of(enum file file, const struct name *name)
{
	uint64_t number = name ? name->number * FILES_OF_NAME : 0;
	bool is_dir = file == FILE_ROOT || file == FILE_DIR;

	/* 0 and 1 are the root and README. */
	return (struct p9_qid){
		.type = is_dir ? P9_QID_DIR : P9_QID_FILE,
		.path = number + (file == FILE_README || file == FILE_CTL),
	};
}

static struct p9_stat stat_of(enum file file, const struct name *name)
{
	struct p9_stat stat = {.qid = qid_of(file, name), .mode = DIR_MODE, .name = "/"};

	if (file == FILE_README) {
		stat.mode = 0444;
		stat.size = sizeof(readme) - 1;
		stat.name = README_NAME;
	} else if (file == FILE_CTL) {
		stat.mode = 0644;
		stat.size = strlen(name->answer);
		stat.name = CTL_NAME;
	} else if (file == FILE_DIR) {
		stat.name = name->text;
	}
	return stat;
}

/* One step of a walk. */
static int step(struct vpnkit_ports *ports, const struct p9_text *text, enum file *file,
		struct name **name)
{
	if (*file != FILE_ROOT && *file != FILE_DIR)
		return -ENOTDIR;
	if (*name && (*name)->is_removed)
		return -ENOENT;
	if (text_is(text, "..")) {
		*file = FILE_ROOT;
		*name = NULL;
	} else if (*file == FILE_DIR) {
		if (!text_is(text, CTL_NAME))
			return -ENOENT;
		*file = FILE_CTL;
	} else if (text_is(text, README_NAME)) {
		*file = FILE_README;
	} else {
		struct name *found = find_name(ports, text);

		if (!found)
			return -ENOENT;
		*file = FILE_DIR;
		*name = found;
	}
	return 0;
}

/* ---- Requests. Each writes what its reply has, or returns -errno. ---- */

static int do_version(struct vpnkit_ports *ports, const struct p9_request *request,
		      struct wire_writer *w)
{
	/* What extends it, such as 9P2000.u, begins with it, and does without. */
	bool ours = request->text.size >= strlen(P9_VERSION) &&
		    memcmp(request->text.data, P9_VERSION, strlen(P9_VERSION)) == 0;

	if (request->msize < MESSAGE_MIN)
		return -EMSGSIZE;
	clear(ports);
	ports->message_max = request->msize < VPNKIT_MESSAGE_MAX ? request->msize
								 : VPNKIT_MESSAGE_MAX;
	wire_put_le32(w, ports->message_max);
	p9_put_text(w, ours ? P9_VERSION : "unknown");
	if (!ours)
		ports->message_max = 0;
	return 0;
}

/* Whatever name the client has for the tree, there is only one. */
static int do_attach(struct vpnkit_ports *ports, const struct p9_request *request,
		     struct wire_writer *w)
{
	struct p9_qid qid = qid_of(FILE_ROOT, NULL);
	struct fid *fid;
	int r = fid_new(ports, request->fid, &fid);

	if (r == 0)
		p9_put_qid(w, &qid);
	return r;
}

static int do_walk(struct vpnkit_ports *ports, struct fid *fid, const struct p9_request *request,
		   struct wire_writer *w)
{
	struct p9_qid qids[P9_WALK_MAX];
	enum file file = fid->file;
	struct name *name = fid->name;
	struct fid *new_fid = fid;
	unsigned count = 0;
	int r = 0;

	if (fid->is_open)
		return -EBADF;
	while (count < request->name_count) {
		r = step(ports, &request->names[count], &file, &name);
		if (r < 0)
			break;
		qids[count++] = qid_of(file, name);
	}
	if (r < 0 && count == 0)
		return r;
	/* A walk that comes only part of the way says how far, and the fid stays. */
	if (count == request->name_count) {
		r = request->new_fid == request->fid ? 0
						     : fid_new(ports, request->new_fid, &new_fid);
		if (r < 0)
			return r;
		fid_point(new_fid, file, name);
	}
	wire_put_le16(w, (uint16_t)count);
	for (unsigned i = 0; i < count; i++)
		p9_put_qid(w, &qids[i]);
	return 0;
}

static void put_open(const struct vpnkit_ports *ports, const struct fid *fid, struct wire_writer *w)
{
	struct p9_qid qid = qid_of(fid->file, fid->name);

	p9_put_qid(w, &qid);
	wire_put_le32(w, ports->message_max - P9_SMALL_REPLY_MAX / 2);
}

static int do_open(struct vpnkit_ports *ports, struct fid *fid, const struct p9_request *request,
		   struct wire_writer *w)
{
	uint8_t access = request->mode & P9_OPEN_ACCESS;

	if (fid->is_open)
		return -EBADF;
	if (fid->name && fid->name->is_removed)
		return -ENOENT;
	if (request->mode & P9_OPEN_RCLOSE || access == P9_OPEN_EXEC ||
	    (fid->file != FILE_CTL && access != P9_OPEN_READ))
		return fid->file == FILE_CTL || fid->file == FILE_README ? -EACCES : -EISDIR;
	fid->is_open = true;
	fid->access = access;
	put_open(ports, fid, w);
	return 0;
}

static int do_create(struct vpnkit_ports *ports, struct fid *fid, const struct p9_request *request,
		     struct wire_writer *w)
{
	struct name *name;
	int r;

	if (fid->is_open)
		return -EBADF;
	if (fid->file != FILE_ROOT || !(request->permissions & P9_MODE_DIR))
		return -EPERM;
	if ((request->mode & P9_OPEN_ACCESS) != P9_OPEN_READ)
		return -EISDIR;
	r = name_new(ports, &request->text, &name);
	if (r < 0)
		return r;
	fid_point(fid, FILE_DIR, name);
	fid->is_open = true;
	fid->access = P9_OPEN_READ;
	put_open(ports, fid, w);
	return 0;
}

static void put_part(struct wire_writer *w, const char *text, uint64_t offset, size_t room)
{
	size_t size = strlen(text);
	size_t from = offset < size ? (size_t)offset : size;

	size -= from;
	if (size > room)
		size = room;
	wire_put_le32(w, (uint32_t)size);
	wire_put_bytes(w, text + from, size);
}

/* Writes one entry of a directory. Returns false when it doesn't fit. */
static bool put_entry(struct wire_writer *w, enum file file, const struct name *name)
{
	struct p9_stat stat = stat_of(file, name);
	struct wire_writer before = *w;

	p9_put_stat(w, &stat);
	if (wire_fits(w))
		return true;
	*w = before;
	return false;
}

/* Entries are numbered as names are; README's number, and that of a directory's ctl, is 0. Returns
 * the number of the first that isn't written. */
static uint64_t put_entries(struct vpnkit_ports *ports, const struct fid *fid, uint64_t from,
			    struct wire_writer *w)
{
	if (from == 0) {
		if (!put_entry(w, fid->file == FILE_DIR ? FILE_CTL : FILE_README, fid->name))
			return 0;
		from = 1;
	}
	if (fid->file == FILE_DIR)
		return from;
	list_for_each (node, &ports->names) {
		struct name *name = container_of(node, struct name, in_tree);

		if (name->number < from)
			continue;
		if (!put_entry(w, FILE_DIR, name))
			return name->number;
		from = name->number + 1;
	}
	return from;
}

/* A directory is read from its beginning, or from where the last read ended. */
static int read_directory(struct vpnkit_ports *ports, struct fid *fid, uint64_t offset, size_t room,
			  struct wire_writer *w)
{
	struct wire_writer entries;
	struct wire_writer count;
	uint8_t *space;

	if (offset == 0)
		fid->next_offset = fid->next_number = 0;
	if (offset != fid->next_offset)
		return -EINVAL;
	space = wire_put_space(w, 4);
	if (!space)
		return -EMSGSIZE;
	entries = wire_writer(w->pos, room);
	fid->next_number = put_entries(ports, fid, fid->next_number, &entries);
	fid->next_offset += wire_written(&entries);
	count = wire_writer(space, 4);
	wire_put_le32(&count, (uint32_t)wire_written(&entries));
	wire_put_space(w, wire_written(&entries));
	return 0;
}

static int do_read(struct vpnkit_ports *ports, struct fid *fid, const struct p9_request *request,
		   struct wire_writer *w)
{
	size_t room = ports->message_max - P9_READ_EXTRA;

	if (!fid->is_open || fid->access == P9_OPEN_WRITE)
		return -EBADF;
	if (request->count < room)
		room = request->count;
	if (fid->name && fid->name->is_removed)
		return -ENOENT;
	if (fid->file == FILE_README)
		put_part(w, readme, request->offset, room);
	else if (fid->file == FILE_CTL)
		put_part(w, fid->name->answer, request->offset, room);
	else
		return read_directory(ports, fid, request->offset, room, w);
	return 0;
}

static void start_forward(struct vpnkit_ports *ports, struct fid *fid, const char *text,
			  size_t size)
{
	struct name *name = fid->name;
	char error[VPNKIT_ERROR_MAX] = "", spec_text[VPNKIT_SPEC_MAX];
	struct publish_spec spec;
	uint64_t number;
	int r = vpnkit_spec_parse(text, size, &spec);

	if (r < 0) {
		snprintf(error, sizeof(error), "expected tcp:IP:PORT:tcp:IP:PORT, or udp twice");
	} else {
		/* The directory's name is what the client calls it. */
		snprintf(spec.name, sizeof(spec.name), "%.*s", (int)sizeof(spec.name) - 1,
			 name->text);
		r = ports->ops->start(ports->arg, &spec, &number, error);
	}
	if (r < 0) {
		snprintf(name->answer, sizeof(name->answer), "ERROR %s\n",
			 error[0] ? error : strerror(-r));
		return;
	}
	name->forward = number;
	name->by_fid = fid->number;
	snprintf(name->answer, sizeof(name->answer), "OK %s\n",
		 vpnkit_spec_format(&spec, spec_text));
}

static int do_write(struct vpnkit_ports *ports, struct fid *fid, const struct p9_request *request,
		    struct wire_writer *w)
{
	if (!fid->is_open || fid->access == P9_OPEN_READ)
		return -EBADF;
	if (fid->name->is_removed)
		return -ENOENT;
	if (fid->name->forward)
		return -EBUSY;
	start_forward(ports, fid, (const char *)request->data, request->count);
	wire_put_le32(w, request->count);
	return 0;
}

/* The fid goes, whatever comes of it. */
static int do_remove(struct vpnkit_ports *ports, struct fid *fid)
{
	int r = fid->file == FILE_DIR ? 0 : -EPERM;

	if (r == 0 && fid->name->is_removed)
		r = -ENOENT;
	if (r == 0)
		name_remove(ports, fid->name);
	fid_clunk(ports, fid);
	return r;
}

static int do_stat(const struct fid *fid, struct wire_writer *w)
{
	struct p9_stat stat;
	struct wire_writer size;
	uint8_t *space;
	uint8_t *from;

	if (fid->name && fid->name->is_removed)
		return -ENOENT;
	stat = stat_of(fid->file, fid->name);
	space = wire_put_space(w, 2);
	if (!space)
		return -EMSGSIZE;
	from = w->pos;
	p9_put_stat(w, &stat);
	size = wire_writer(space, 2);
	wire_put_le16(&size, (uint16_t)(w->pos - from));
	return 0;
}

static int serve_fid(struct vpnkit_ports *ports, const struct p9_request *request,
		     struct wire_writer *w)
{
	struct fid *fid = find_fid(ports, request->fid);

	if (!fid)
		return -EBADF;
	switch (request->type) {
	case P9_WALK:
		return do_walk(ports, fid, request, w);
	case P9_OPEN:
		return do_open(ports, fid, request, w);
	case P9_CREATE:
		return do_create(ports, fid, request, w);
	case P9_READ:
		return do_read(ports, fid, request, w);
	case P9_WRITE:
		return do_write(ports, fid, request, w);
	case P9_CLUNK:
		fid_clunk(ports, fid);
		return 0;
	case P9_REMOVE:
		return do_remove(ports, fid);
	case P9_STAT:
		return do_stat(fid, w);
	case P9_WSTAT:
		/* What shells do to a file before they write to it: it is truncated. */
		return 0;
	default:
		return -ENOTSUP;
	}
}

static int serve(struct vpnkit_ports *ports, const struct p9_request *request,
		 struct wire_writer *w)
{
	if (request->type == P9_VERSION_REQUEST)
		return do_version(ports, request, w);
	if (ports->message_max == 0)
		return -EPROTO;
	switch (request->type) {
	case P9_AUTH:
		return -ENOTSUP; /* nobody has to authenticate */
	case P9_ATTACH:
		return do_attach(ports, request, w);
	case P9_FLUSH:
		return 0; /* whatever it was has been answered */
	default:
		return serve_fid(ports, request, w);
	}
}

size_t vpnkit_ports_serve(struct vpnkit_ports *ports, const uint8_t *message, size_t size,
			  uint8_t to[static VPNKIT_MESSAGE_MAX])
{
	struct wire_writer w = wire_writer(to, VPNKIT_MESSAGE_MAX);
	struct p9_request request;
	int r = p9_request_decode(message, size, &request);

	if (ports->message_max && size > ports->message_max)
		return 0;
	p9_reply_begin(&w, request.type, request.tag);
	if (r == 0)
		r = serve(ports, &request, &w);
	if (r == 0 && wire_fits(&w))
		return p9_reply_end(&w);
	w = wire_writer(to, VPNKIT_MESSAGE_MAX);
	/* The kernel's client knows errors by these words. */
	return p9_reply_error(&w, request.tag, strerror(r < 0 ? -r : EMSGSIZE));
}

/* ---- Life ---- */

int vpnkit_ports_new(const struct vpnkit_ports_ops *ops, void *arg, struct vpnkit_ports **ret_ports)
{
	struct vpnkit_ports *ports = calloc(1, sizeof(*ports));

	if (!ports)
		return -ENOMEM;
	ports->ops = ops;
	ports->arg = arg;
	ports->key = hash_key_random();
	hmap_init(&ports->fids);
	list_init(&ports->names);
	*ret_ports = ports;
	return 0;
}

void vpnkit_ports_free(struct vpnkit_ports *ports)
{
	if (!ports)
		return;
	clear(ports);
	hmap_destroy(&ports->fids);
	free(ports);
}
