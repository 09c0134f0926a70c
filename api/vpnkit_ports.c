/* SPDX-License-Identifier: Apache-2.0 */
/* What a client of VPNKit's port control asks of its tree of files; see vpnkit_ports.h. */
#include "api/vpnkit_ports.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/vpnkit_spec.h"
#include "api/vpnkit_tree.h"
#include "p9/p9_message.h"

#define MESSAGE_MIN P9_SMALL_REPLY_MAX

struct vpnkit_ports {
	const struct vpnkit_ports_ops *ops;
	void *arg;
	uint32_t message_max; /* 0: no version agreed on */
	struct vpnkit_tree tree;
};

/* ---- Requests. Each writes what its reply has, or returns -errno. ---- */

static int do_version(struct vpnkit_ports *ports, const struct p9_request *request,
		      struct wire_writer *w)
{
	/* What extends it, such as 9P2000.u, begins with it, and does without. */
	bool ours = request->text.size >= strlen(P9_VERSION) &&
		    memcmp(request->text.data, P9_VERSION, strlen(P9_VERSION)) == 0;

	if (request->msize < MESSAGE_MIN)
		return -EMSGSIZE;
	vpnkit_tree_clear(&ports->tree);
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
	struct p9_qid qid = vpnkit_file_qid(VPNKIT_ROOT, NULL);
	struct vpnkit_fid *fid;
	int r = vpnkit_fid_new(&ports->tree, request->fid, &fid);

	if (r == 0)
		p9_put_qid(w, &qid);
	return r;
}

static int do_walk(struct vpnkit_ports *ports, struct vpnkit_fid *fid,
		   const struct p9_request *request, struct wire_writer *w)
{
	struct p9_qid qids[P9_WALK_MAX];
	enum vpnkit_file file = fid->file;
	struct vpnkit_name *name = fid->name;
	struct vpnkit_fid *new_fid = fid;
	unsigned count = 0;
	int r = 0;

	if (fid->is_open)
		return -EBADF;
	while (count < request->name_count) {
		r = vpnkit_tree_step(&ports->tree, &request->names[count], &file, &name);
		if (r < 0)
			break;
		qids[count++] = vpnkit_file_qid(file, name);
	}
	if (r < 0 && count == 0)
		return r;
	/* A walk that comes only part of the way says how far, and the fid stays. */
	if (count == request->name_count) {
		r = request->new_fid == request->fid
			    ? 0
			    : vpnkit_fid_new(&ports->tree, request->new_fid, &new_fid);
		if (r < 0)
			return r;
		vpnkit_fid_point(new_fid, file, name);
	}
	wire_put_le16(w, (uint16_t)count);
	for (unsigned i = 0; i < count; i++)
		p9_put_qid(w, &qids[i]);
	return 0;
}

static void put_open(const struct vpnkit_ports *ports, const struct vpnkit_fid *fid,
		     struct wire_writer *w)
{
	struct p9_qid qid = vpnkit_file_qid(fid->file, fid->name);

	p9_put_qid(w, &qid);
	wire_put_le32(w, ports->message_max - P9_SMALL_REPLY_MAX / 2);
}

static int do_open(struct vpnkit_ports *ports, struct vpnkit_fid *fid,
		   const struct p9_request *request, struct wire_writer *w)
{
	uint8_t access = request->mode & P9_OPEN_ACCESS;

	if (fid->is_open)
		return -EBADF;
	if (fid->name && fid->name->is_removed)
		return -ENOENT;
	if (request->mode & P9_OPEN_RCLOSE || access == P9_OPEN_EXEC ||
	    (fid->file != VPNKIT_CTL && access != P9_OPEN_READ))
		return fid->file == VPNKIT_CTL || fid->file == VPNKIT_README ? -EACCES : -EISDIR;
	fid->is_open = true;
	fid->access = access;
	put_open(ports, fid, w);
	return 0;
}

static int do_create(struct vpnkit_ports *ports, struct vpnkit_fid *fid,
		     const struct p9_request *request, struct wire_writer *w)
{
	struct vpnkit_name *name;
	int r;

	if (fid->is_open)
		return -EBADF;
	if (fid->file != VPNKIT_ROOT || !(request->permissions & P9_MODE_DIR))
		return -EPERM;
	if ((request->mode & P9_OPEN_ACCESS) != P9_OPEN_READ)
		return -EISDIR;
	r = vpnkit_name_new(&ports->tree, &request->text, &name);
	if (r < 0)
		return r;
	vpnkit_fid_point(fid, VPNKIT_DIR, name);
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
static bool put_entry(struct wire_writer *w, enum vpnkit_file file, const struct vpnkit_name *name)
{
	struct p9_stat stat = vpnkit_file_stat(file, name);
	struct wire_writer before = *w;

	p9_put_stat(w, &stat);
	if (wire_fits(w))
		return true;
	*w = before;
	return false;
}

/* Entries are numbered as names are; README's number, and that of a directory's ctl, is 0. Returns
 * the number of the first that isn't written. */
static uint64_t put_entries(struct vpnkit_ports *ports, const struct vpnkit_fid *fid, uint64_t from,
			    struct wire_writer *w)
{
	if (from == 0) {
		if (!put_entry(w, fid->file == VPNKIT_DIR ? VPNKIT_CTL : VPNKIT_README, fid->name))
			return 0;
		from = 1;
	}
	if (fid->file == VPNKIT_DIR)
		return from;
	list_for_each (node, &ports->tree.names) {
		struct vpnkit_name *name = container_of(node, struct vpnkit_name, in_tree);

		if (name->number < from)
			continue;
		if (!put_entry(w, VPNKIT_DIR, name))
			return name->number;
		from = name->number + 1;
	}
	return from;
}

/* A directory is read from its beginning, or from where the last read ended. */
static int read_directory(struct vpnkit_ports *ports, struct vpnkit_fid *fid, uint64_t offset,
			  size_t room, struct wire_writer *w)
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

static int do_read(struct vpnkit_ports *ports, struct vpnkit_fid *fid,
		   const struct p9_request *request, struct wire_writer *w)
{
	size_t room = ports->message_max - P9_READ_EXTRA;

	if (!fid->is_open || fid->access == P9_OPEN_WRITE)
		return -EBADF;
	if (request->count < room)
		room = request->count;
	if (fid->name && fid->name->is_removed)
		return -ENOENT;
	if (fid->file == VPNKIT_README)
		put_part(w, vpnkit_readme, request->offset, room);
	else if (fid->file == VPNKIT_CTL)
		put_part(w, fid->name->answer, request->offset, room);
	else
		return read_directory(ports, fid, request->offset, room, w);
	return 0;
}

static void start_forward(struct vpnkit_ports *ports, struct vpnkit_fid *fid, const char *text,
			  size_t size)
{
	struct vpnkit_name *name = fid->name;
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

static int do_write(struct vpnkit_ports *ports, struct vpnkit_fid *fid,
		    const struct p9_request *request, struct wire_writer *w)
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
static int do_remove(struct vpnkit_ports *ports, struct vpnkit_fid *fid)
{
	int r = fid->file == VPNKIT_DIR ? 0 : -EPERM;

	if (r == 0 && fid->name->is_removed)
		r = -ENOENT;
	if (r == 0)
		vpnkit_name_remove(&ports->tree, fid->name);
	vpnkit_fid_clunk(&ports->tree, fid);
	return r;
}

static int do_stat(const struct vpnkit_fid *fid, struct wire_writer *w)
{
	struct p9_stat stat;
	struct wire_writer size;
	uint8_t *space;
	uint8_t *from;

	if (fid->name && fid->name->is_removed)
		return -ENOENT;
	stat = vpnkit_file_stat(fid->file, fid->name);
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
	struct vpnkit_fid *fid = vpnkit_fid_find(&ports->tree, request->fid);

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
		vpnkit_fid_clunk(&ports->tree, fid);
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
	vpnkit_tree_init(&ports->tree, ops->stop, arg);
	*ret_ports = ports;
	return 0;
}

void vpnkit_ports_free(struct vpnkit_ports *ports)
{
	if (!ports)
		return;
	vpnkit_tree_destroy(&ports->tree);
	free(ports);
}
