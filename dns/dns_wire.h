/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DNS message format (RFC 1035, EDNS0: RFC 6891): names, the parser of queries, and the encoder
 * of the answers that are ours. What is relayed is never re-encoded; only its first 2 bytes change.
 */
#ifndef DNS_DNS_WIRE_H
#define DNS_DNS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/wire.h"

#define DNS_PORT          53
#define DNS_HEADER_SIZE   12
#define DNS_MESSAGE_MAX   65535
#define DNS_LABEL_MAX     63
#define DNS_NAME_MAX      255  /* wire form, with the root's byte */
#define DNS_NAME_TEXT_MAX 1024 /* text form with every byte escaped, and the NUL */
#define DNS_UDP_SIZE_MIN  512  /* what every client takes over UDP */
#define DNS_UDP_SIZE_OURS 1232 /* what we say we take: a packet everywhere (DNS flag day 2020) */
/* A local answer always fits a buffer of this size. */
#define DNS_ANSWER_SIZE_MAX 2048

enum dns_flag {
	DNS_FLAG_QR = 0x8000, /* reply */
	DNS_FLAG_OPCODE = 0x7800,
	DNS_FLAG_AA = 0x0400, /* authoritative */
	DNS_FLAG_TC = 0x0200, /* truncated */
	DNS_FLAG_RD = 0x0100, /* recursion desired */
	DNS_FLAG_RA = 0x0080, /* recursion available */
	DNS_FLAG_CD = 0x0010, /* checking disabled */
	DNS_FLAG_RCODE = 0x000f,
};

enum dns_rcode {
	DNS_RCODE_NOERROR = 0,
	DNS_RCODE_FORMERR = 1,
	DNS_RCODE_SERVFAIL = 2,
	DNS_RCODE_NXDOMAIN = 3,
	DNS_RCODE_NOTIMP = 4,
	DNS_RCODE_REFUSED = 5,
	DNS_RCODE_BADVERS = 16, /* in EDNS only */
};

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_SOA = 6,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_TXT = 16,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_OPT = 41,
	DNS_TYPE_SVCB = 64,
	DNS_TYPE_HTTPS = 65,
	DNS_TYPE_IXFR = 251,
	DNS_TYPE_AXFR = 252,
	DNS_TYPE_ANY = 255,
};

enum dns_class { DNS_CLASS_IN = 1, DNS_CLASS_CH = 3, DNS_CLASS_ANY = 255 };

/* Extended DNS errors (RFC 8914) that we send: they let `dig` in the guest say what failed. */
enum dns_ede {
	DNS_EDE_NONE = -1,
	DNS_EDE_OTHER = 0,
	DNS_EDE_NO_REACHABLE = 22,
	DNS_EDE_NETWORK = 23,
};

/* A name in uncompressed wire form: labels with their lengths, and the root's 0. */
struct dns_name {
	uint8_t size; /* 1 to DNS_NAME_MAX */
	uint8_t wire[DNS_NAME_MAX];
};

/* What a query says, as far as we need to know. */
struct dns_query {
	uint16_t id;
	uint16_t flags;
	enum dns_rcode rcode; /* what to answer at once when it isn't NOERROR */
	bool has_question;    /* name, type and class below are set */
	struct dns_name name; /* as the client wrote it, either case */
	uint16_t type;
	uint16_t class;
	bool has_edns;
	bool dnssec_ok;    /* the DO bit, which replies repeat (RFC 3225) */
	uint16_t udp_size; /* largest UDP reply that the client takes, at least DNS_UDP_SIZE_MIN */
};

/* One record of an answer of ours; its owner is the name that was asked for. */
struct dns_record {
	enum dns_type type; /* A, AAAA, PTR or TXT */
	uint32_t ttl_s;
	union {
		struct addr addr;       /* A, AAAA */
		struct dns_name target; /* PTR */
		const char *text;       /* TXT: one string; borrowed */
	};
};

#define DNS_ANSWER_RECORDS_MAX 8

/* What a reply of ours says. */
struct dns_answer {
	enum dns_rcode rcode;
	bool is_authoritative;
	bool is_default; /* a denial of what we don't know; whoever knows more may say otherwise */
	unsigned count;
	struct dns_record records[DNS_ANSWER_RECORDS_MAX];
	/* For negative caching (RFC 2308): a SOA record owned by the last `soa_size` bytes of the
	 * name that was asked for; 0: none. It goes into the answer section where SOA itself was
	 * asked for. */
	size_t soa_size;
	bool soa_is_answer;
	enum dns_ede ede;
	const char *ede_text; /* borrowed, or NULL */
};

/* Reads a name at the reader's position, following compression pointers, which must point backwards
 * and behind the header: `r` must have begun at the message's first byte. Fails the reader when it
 * is malformed; *ret is the root then. */
void dns_name_read(struct wire_reader *r, struct dns_name *ret);
/* From text such as "host.internal" or "host.internal."; "" and "." are the root; \. and \065
 * escape. Returns 0, or -EINVAL with *ret untouched. */
int dns_name_parse(const char *text, struct dns_name *ret);
/* Writes the text without the final dot ("." for the root) and returns it. */
const char *dns_name_format(const struct dns_name *name, char to[static DNS_NAME_TEXT_MAX]);
/* Names are compared without regard to the case of ASCII letters (RFC 4343). */
bool dns_name_equal(const struct dns_name *a, const struct dns_name *b);
/* Whether `name` is `zone` or lies below it. */
bool dns_name_is_within(const struct dns_name *name, const struct dns_name *zone);
void dns_name_lower(struct dns_name *name);
/* Puts `first` in front of `rest`. Returns 0, or -ENAMETOOLONG with *ret untouched. */
int dns_name_join(const struct dns_name *first, const struct dns_name *rest, struct dns_name *ret);
/* What is in front of `zone` in a name that lies within it: "www" for www.example.com in
 * example.com. */
void dns_name_cut(const struct dns_name *name, const struct dns_name *zone, struct dns_name *ret);

/*
 * Decodes a message from a client. Returns 0; -EBADMSG when nothing should be answered: shorter
 * than a header, or a reply itself. Where an error is to be answered, ret->rcode says which.
 */
int dns_query_parse(const void *message, size_t size, struct dns_query *ret);

/* An empty answer with this code. */
void dns_answer_init(struct dns_answer *answer, enum dns_rcode rcode);
/* Appends a record; ignored when the answer is full. */
void dns_answer_add_addr(struct dns_answer *answer, const struct addr *addr, uint32_t ttl_s);
void dns_answer_add_ptr(struct dns_answer *answer, const struct dns_name *target, uint32_t ttl_s);
/* `text`, up to 255 bytes, is borrowed until the answer is encoded; its TTL is 0. */
void dns_answer_add_text(struct dns_answer *answer, const char *text);
/* Encodes the reply to `query` in at most `limit` bytes of `to` (at least DNS_UDP_SIZE_MIN of
 * them); where the records don't fit, they are left out and TC is set. Returns the size. */
size_t dns_answer_encode(const struct dns_query *query, const struct dns_answer *answer, void *to,
			 size_t limit);

/* Whether `reply` is a reply to the query: its ID (that of the exchange), opcode and question. A
 * reply with an error code may leave the question out. */
bool dns_reply_matches(const struct dns_query *query, uint16_t id, const void *reply, size_t size);
/* The response code in a reply's header; the reply has at least a header. */
enum dns_rcode dns_reply_rcode(const void *reply);
/* The reply as a client over UDP gets it that can't take all of `reply`: header and question, TC
 * set. Returns its size, at most DNS_UDP_SIZE_MIN. */
size_t dns_reply_truncate(const struct dns_query *query, const void *reply,
			  uint8_t to[static DNS_UDP_SIZE_MIN]);

#endif
