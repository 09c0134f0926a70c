/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of 9P2000 as a server sees them (Plan 9's intro(5) and the pages of section 5):
 * requests decoded and checked, replies encoded. Pure; integers are little-endian on the wire.
 *
 * A message is size[4] type[1] tag[2] and what its type has; the size counts itself.
 */
#ifndef P9_MESSAGE_H
#define P9_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

#define P9_VERSION    "9P2000"
#define P9_HEADER     7
#define P9_READ_EXTRA 11 /* of a reply to a read, besides the data */
#define P9_WALK_MAX   16
#define P9_NO_FID     UINT32_MAX
/* Every reply but those to reads fits this, where names are no longer than P9_NAME_MAX. */
#define P9_SMALL_REPLY_MAX 256
#define P9_NAME_MAX        127
#define P9_ERROR_MAX       127

enum p9_type {
	P9_VERSION_REQUEST = 100, /* a reply's type is its request's and 1 */
	P9_AUTH = 102,
	P9_ATTACH = 104,
	P9_ERROR_REPLY = 107,
	P9_FLUSH = 108,
	P9_WALK = 110,
	P9_OPEN = 112,
	P9_CREATE = 114,
	P9_READ = 116,
	P9_WRITE = 118,
	P9_CLUNK = 120,
	P9_REMOVE = 122,
	P9_STAT = 124,
	P9_WSTAT = 126,
};

/* Of an open's mode. */
#define P9_OPEN_ACCESS 0x03
#define P9_OPEN_READ   0x00
#define P9_OPEN_WRITE  0x01
#define P9_OPEN_EXEC   0x03
#define P9_OPEN_RCLOSE 0x40 /* remove on close */

#define P9_MODE_DIR 0x80000000u
#define P9_QID_DIR  0x80
#define P9_QID_FILE 0x00

/* Text of a message, borrowed from it; not terminated, and it may hold any byte. */
struct p9_text {
	const char *data;
	uint16_t size;
};

struct p9_request {
	enum p9_type type;
	uint16_t tag;
	uint32_t fid;        /* of all but version and flush; of auth: afid */
	uint32_t new_fid;    /* of walk */
	uint32_t msize;      /* of version */
	struct p9_text text; /* version; attach: the tree's name; create: the file's */
	uint16_t name_count; /* of walk */
	struct p9_text names[P9_WALK_MAX];
	uint8_t mode;         /* of open and create */
	uint32_t permissions; /* of create */
	uint64_t offset;      /* of read and write */
	uint32_t count;       /* of read and write */
	const uint8_t *data;  /* of write: `count` bytes, borrowed from the message */
};

struct p9_qid {
	uint8_t type;
	uint64_t path; /* a file's number, never used again */
};

struct p9_stat {
	struct p9_qid qid;
	uint32_t mode;
	uint64_t size;
	const char *name; /* at most P9_NAME_MAX bytes */
};

/* The size of the message that begins with these P9_HEADER or more bytes. */
uint32_t p9_message_size(const uint8_t *data);

/* Decodes one whole message. Returns 0; or, with type and tag filled in, so that an error can be
 * replied, -EBADMSG when it is cut short or longer than its fields, -ENOTSUP for types that aren't
 * a request's. `size` must be P9_HEADER or more. */
int p9_request_decode(const uint8_t *data, size_t size, struct p9_request *ret);

/* Replies: begin, the fields, end. What doesn't fit fails the writer. `type` is the request's. */
void p9_reply_begin(struct wire_writer *w, enum p9_type type, uint16_t tag);
void p9_put_text(struct wire_writer *w, const char *text);
void p9_put_qid(struct wire_writer *w, const struct p9_qid *qid);
/* With its size in front, as directories hold it. */
void p9_put_stat(struct wire_writer *w, const struct p9_stat *stat);
/* Fills in the size and returns it; 0 when the writer has failed. */
size_t p9_reply_end(struct wire_writer *w);
/* The whole of an error reply; `text` is cut to P9_ERROR_MAX. Returns its size, or 0. */
size_t p9_reply_error(struct wire_writer *w, uint16_t tag, const char *text);

#endif
