/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of 9P2000; see p9_message.h. */
#include "p9/p9_message.h"

#include <errno.h>
#include <string.h>

#define OWNER "root"

uint32_t p9_message_size(const uint8_t *data)
{
	struct wire_reader r = wire_reader(data, 4);

	return wire_le32(&r);
}

/* ---- Requests ---- */

static struct p9_text read_text(struct wire_reader *r)
{
	uint16_t size = wire_le16(r);
	const uint8_t *data = wire_bytes(r, size);

	return (struct p9_text){.data = (const char *)data, .size = data ? size : 0};
}

static void read_attach(struct wire_reader *r, struct p9_request *ret)
{
	ret->fid = wire_le32(r);
	wire_skip(r, 4); /* afid: nobody has authenticated */
	read_text(r);    /* who it says to be */
	ret->text = read_text(r);
}

static void read_walk(struct wire_reader *r, struct p9_request *ret)
{
	ret->fid = wire_le32(r);
	ret->new_fid = wire_le32(r);
	ret->name_count = wire_le16(r);
	if (ret->name_count > P9_WALK_MAX)
		r->failed = true;
	for (unsigned i = 0; wire_ok(r) && i < ret->name_count; i++)
		ret->names[i] = read_text(r);
}

static void read_data(struct wire_reader *r, struct p9_request *ret)
{
	ret->fid = wire_le32(r);
	ret->offset = wire_le64(r);
	ret->count = wire_le32(r);
	if (ret->type == P9_WRITE)
		ret->data = wire_bytes(r, ret->count);
}

static int read_fields(struct wire_reader *r, struct p9_request *ret)
{
	switch (ret->type) {
	case P9_VERSION_REQUEST:
		ret->msize = wire_le32(r);
		ret->text = read_text(r);
		return 0;
	case P9_AUTH:
		ret->fid = wire_le32(r);
		read_text(r);
		ret->text = read_text(r);
		return 0;
	case P9_ATTACH:
		read_attach(r, ret);
		return 0;
	case P9_FLUSH:
		wire_skip(r, 2);
		return 0;
	case P9_WALK:
		read_walk(r, ret);
		return 0;
	case P9_OPEN:
		ret->fid = wire_le32(r);
		ret->mode = wire_u8(r);
		return 0;
	case P9_CREATE:
		ret->fid = wire_le32(r);
		ret->text = read_text(r);
		ret->permissions = wire_le32(r);
		ret->mode = wire_u8(r);
		return 0;
	case P9_READ:
	case P9_WRITE:
		read_data(r, ret);
		return 0;
	case P9_CLUNK:
	case P9_REMOVE:
	case P9_STAT:
		ret->fid = wire_le32(r);
		return 0;
	case P9_WSTAT:
		ret->fid = wire_le32(r);
		read_text(r); /* a stat with its size: as a text has it */
		return 0;
	default:
		return -ENOTSUP;
	}
}

int p9_request_decode(const uint8_t *data, size_t size, struct p9_request *ret)
{
	struct wire_reader r = wire_reader(data, size);
	int result;

	memset(ret, 0, sizeof(*ret));
	wire_skip(&r, 4);
	ret->type = wire_u8(&r);
	ret->tag = wire_le16(&r);
	result = read_fields(&r, ret);
	if (result == 0 && (!wire_ok(&r) || wire_left(&r) > 0))
		result = -EBADMSG;
	return result;
}

/* ---- Replies ---- */

void p9_reply_begin(struct wire_writer *w, enum p9_type type, uint16_t tag)
{
	wire_put_le32(w, 0);
	wire_put_u8(w, type == P9_ERROR_REPLY ? P9_ERROR_REPLY : (uint8_t)(type + 1));
	wire_put_le16(w, tag);
}

static void put_text(struct wire_writer *w, const char *text, size_t size)
{
	wire_put_le16(w, (uint16_t)size);
	wire_put_bytes(w, text, size);
}

void p9_put_text(struct wire_writer *w, const char *text)
{
	put_text(w, text, strnlen(text, UINT16_MAX));
}

void p9_put_qid(struct wire_writer *w, const struct p9_qid *qid)
{
	wire_put_u8(w, qid->type);
	wire_put_le32(w, 0); /* version */
	wire_put_le64(w, qid->path);
}

void p9_put_stat(struct wire_writer *w, const struct p9_stat *stat)
{
	/* Behind the size: type, dev, qid, mode, two times, length, and four texts. */
	size_t size = 2 + 4 + 13 + 4 + 4 + 4 + 8 + 2 + strlen(stat->name) + 3 * (2 + strlen(OWNER));

	wire_put_le16(w, (uint16_t)size);
	wire_put_le16(w, 0);
	wire_put_le32(w, 0);
	p9_put_qid(w, &stat->qid);
	wire_put_le32(w, stat->mode);
	wire_put_le32(w, 0);
	wire_put_le32(w, 0);
	wire_put_le64(w, stat->size);
	p9_put_text(w, stat->name);
	for (int i = 0; i < 3; i++)
		p9_put_text(w, OWNER);
}

size_t p9_reply_end(struct wire_writer *w)
{
	struct wire_writer size;

	if (!wire_fits(w))
		return 0;
	size = wire_writer(w->start, 4);
	wire_put_le32(&size, (uint32_t)wire_written(w));
	return wire_written(w);
}

size_t p9_reply_error(struct wire_writer *w, uint16_t tag, const char *text)
{
	p9_reply_begin(w, P9_ERROR_REPLY, tag);
	put_text(w, text, strnlen(text, P9_ERROR_MAX));
	return p9_reply_end(w);
}
