/* SPDX-License-Identifier: Apache-2.0 */
/* Reads names and queries of DNS, with bounds on everything, and writes the replies that are ours.
 */
#include "dns/dns_wire.h"

#include <errno.h>

#define DNS_POINTER_SIZE    2
#define DNS_EDNS_OPTION_EDE 15
#define DNS_EDNS_DO         0x8000
#define DNS_EDE_TEXT_MAX    64

/* The SOA record's numbers, as RFC 6303 gives them for local zones; only the last one, the time to
 * keep a negative answer, matters, and is short because names come and go with guests. */
#define DNS_SOA_SERIAL     1
#define DNS_SOA_REFRESH_S  3600
#define DNS_SOA_RETRY_S    1200
#define DNS_SOA_EXPIRE_S   604800
#define DNS_SOA_NEGATIVE_S 10

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

/* Length bytes are below 64 and so never letters: names can be compared as one run of bytes. */
static bool equal_bytes(const uint8_t *a, const uint8_t *b, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (lower(a[i]) != lower(b[i]))
			return false;
	}
	return true;
}

/* Follows a pointer whose first byte is `high`. Each one must lead to before the run of labels that
 * it ends, so that the run's start only ever falls: no loop is possible. */
static bool follow_pointer(struct wire_reader *run, uint8_t high, size_t *run_start)
{
	size_t target = (size_t)(high & 0x3f) << 8 | wire_u8(run);

	if (!wire_ok(run) || target >= *run_start || target < DNS_HEADER_SIZE)
		return false;
	run->pos = run->start + target;
	*run_start = target;
	return true;
}

void dns_name_read(struct wire_reader *r, struct dns_name *ret)
{
	struct wire_reader run = *r;
	struct wire_writer w = wire_writer(ret->wire, sizeof(ret->wire));
	size_t run_start = wire_offset(r);
	bool jumped = false;

	for (;;) {
		uint8_t length = wire_u8(&run);

		if (length >= 0xc0) {
			if (!follow_pointer(&run, length, &run_start))
				goto malformed;
			if (!jumped)
				wire_skip(r, DNS_POINTER_SIZE);
			jumped = true;
			continue;
		}
		const uint8_t *label = length <= DNS_LABEL_MAX ? wire_bytes(&run, length) : NULL;
		if (!label || !wire_ok(&run))
			goto malformed;
		wire_put_u8(&w, length);
		wire_put_bytes(&w, label, length);
		if (!jumped)
			wire_skip(r, 1u + length);
		if (length == 0)
			break;
	}
	if (!wire_fits(&w) || !wire_ok(r))
		goto malformed;
	ret->size = (uint8_t)wire_written(&w);
	return;

malformed:
	r->failed = true;
	ret->size = 1;
	ret->wire[0] = 0;
}

/* One character of text, with \. and \065 resolved. Returns the value, or -EINVAL. */
static int text_byte(const char **text)
{
	const char *p = *text;
	unsigned value;

	if (*p != '\\') {
		*text = p + 1;
		return (uint8_t)*p > ' ' && *p != 0x7f ? (uint8_t)*p : -EINVAL;
	}
	p++;
	if (*p < '0' || *p > '9') {
		if ((uint8_t)*p <= ' ')
			return -EINVAL;
		*text = p + 1;
		return (uint8_t)*p;
	}
	value = 0;
	for (int i = 0; i < 3; i++, p++) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		value = value * 10 + (unsigned)(*p - '0');
	}
	*text = p;
	return value <= 255 ? (int)value : -EINVAL;
}

int dns_name_parse(const char *text, struct dns_name *ret)
{
	struct dns_name name;
	struct wire_writer w = wire_writer(name.wire, sizeof(name.wire));

	if (strcmp(text, ".") == 0)
		text = "";
	while (*text) {
		uint8_t *length = wire_put_space(&w, 1);
		size_t size = 0;

		while (*text && *text != '.') {
			int byte = text_byte(&text);

			if (byte < 0 || ++size > DNS_LABEL_MAX)
				return -EINVAL;
			wire_put_u8(&w, (uint8_t)byte);
		}
		if (size == 0 || !wire_fits(&w))
			return -EINVAL;
		*length = (uint8_t)size;
		if (*text == '.')
			text++;
	}
	wire_put_u8(&w, 0);
	if (!wire_fits(&w))
		return -EINVAL;
	name.size = (uint8_t)wire_written(&w);
	*ret = name;
	return 0;
}

static char *format_byte(char *to, uint8_t byte)
{
	if (byte <= ' ' || byte >= 0x7f) {
		*to++ = '\\';
		*to++ = (char)('0' + byte / 100);
		*to++ = (char)('0' + byte / 10 % 10);
		*to++ = (char)('0' + byte % 10);
		return to;
	}
	if (byte == '.' || byte == '\\')
		*to++ = '\\';
	*to++ = (char)byte;
	return to;
}

const char *dns_name_format(const struct dns_name *name, char to[static DNS_NAME_TEXT_MAX])
{
	char *out = to;

	for (size_t i = 0; name->wire[i];) {
		size_t end = i + 1 + name->wire[i];

		if (out != to)
			*out++ = '.';
		for (i++; i < end; i++)
			out = format_byte(out, name->wire[i]);
	}
	if (out == to)
		*out++ = '.';
	*out = '\0';
	return to;
}

bool dns_name_equal(const struct dns_name *a, const struct dns_name *b)
{
	return a->size == b->size && equal_bytes(a->wire, b->wire, a->size);
}

bool dns_name_is_within(const struct dns_name *name, const struct dns_name *zone)
{
	size_t i = 0;

	if (name->size < zone->size)
		return false;
	while (name->size - i > zone->size)
		i += 1u + name->wire[i];
	return name->size - i == zone->size && equal_bytes(name->wire + i, zone->wire, zone->size);
}

void dns_name_lower(struct dns_name *name)
{
	for (size_t i = 0; i < name->size; i++)
		name->wire[i] = lower(name->wire[i]);
}

int dns_name_join(const struct dns_name *first, const struct dns_name *rest, struct dns_name *ret)
{
	size_t first_size = first->size - 1u;
	struct dns_name name;

	if (first_size + rest->size > DNS_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name.wire, first->wire, first_size);
	memcpy(name.wire + first_size, rest->wire, rest->size);
	name.size = (uint8_t)(first_size + rest->size);
	*ret = name;
	return 0;
}

void dns_name_cut(const struct dns_name *name, const struct dns_name *zone, struct dns_name *ret)
{
	size_t size = (size_t)name->size - zone->size;

	memcpy(ret->wire, name->wire, size);
	ret->wire[size] = 0;
	ret->size = (uint8_t)(size + 1);
}

/* Walks the records behind the question, for the sake of the OPT record. */
static enum dns_rcode parse_records(struct wire_reader *r, unsigned count, struct dns_query *query)
{
	struct dns_name owner;
	uint8_t version = 0;

	for (unsigned i = 0; i < count && wire_ok(r); i++) {
		dns_name_read(r, &owner);
		uint16_t type = wire_be16(r);
		uint16_t class = wire_be16(r);
		uint32_t ttl = wire_be32(r);

		wire_skip(r, wire_be16(r));
		if (type != DNS_TYPE_OPT || !wire_ok(r))
			continue;
		if (query->has_edns || owner.size != 1)
			return DNS_RCODE_FORMERR;
		query->has_edns = true;
		query->dnssec_ok = ttl & DNS_EDNS_DO;
		query->udp_size = class > DNS_UDP_SIZE_MIN ? class : DNS_UDP_SIZE_MIN;
		version = (uint8_t)(ttl >> 16);
	}
	if (!wire_ok(r))
		return DNS_RCODE_FORMERR;
	return version ? DNS_RCODE_BADVERS : DNS_RCODE_NOERROR;
}

int dns_query_parse(const void *message, size_t size, struct dns_query *ret)
{
	struct wire_reader r = wire_reader(message, size);
	struct dns_query query = {.udp_size = DNS_UDP_SIZE_MIN, .name = {.size = 1}};

	query.id = wire_be16(&r);
	query.flags = wire_be16(&r);
	uint16_t question_count = wire_be16(&r);
	unsigned record_count = wire_be16(&r);
	record_count += wire_be16(&r);
	record_count += wire_be16(&r);
	if (!wire_ok(&r) || (query.flags & DNS_FLAG_QR))
		return -EBADMSG;

	if (query.flags & DNS_FLAG_OPCODE) {
		query.rcode = DNS_RCODE_NOTIMP;
	} else if (question_count != 1) {
		query.rcode = DNS_RCODE_FORMERR;
	} else {
		dns_name_read(&r, &query.name);
		query.type = wire_be16(&r);
		query.class = wire_be16(&r);
		query.has_question = wire_ok(&r);
		query.rcode = parse_records(&r, record_count, &query);
	}
	*ret = query;
	return 0;
}

void dns_answer_init(struct dns_answer *answer, enum dns_rcode rcode)
{
	/* The records are 2 KiB; none of them is read before it is set. */
	answer->rcode = rcode;
	answer->is_authoritative = false;
	answer->is_default = false;
	answer->count = 0;
	answer->soa_size = 0;
	answer->soa_is_answer = false;
	answer->ede = DNS_EDE_NONE;
	answer->ede_text = NULL;
}

void dns_answer_add_addr(struct dns_answer *answer, const struct addr *addr, uint32_t ttl_s)
{
	if (answer->count == DNS_ANSWER_RECORDS_MAX)
		return;
	answer->records[answer->count++] = (struct dns_record){
		.type = addr->family == AF_INET ? DNS_TYPE_A : DNS_TYPE_AAAA,
		.ttl_s = ttl_s,
		.addr = *addr,
	};
}

void dns_answer_add_ptr(struct dns_answer *answer, const struct dns_name *target, uint32_t ttl_s)
{
	if (answer->count == DNS_ANSWER_RECORDS_MAX)
		return;
	answer->records[answer->count++] = (struct dns_record){
		.type = DNS_TYPE_PTR,
		.ttl_s = ttl_s,
		.target = *target,
	};
}

void dns_answer_add_text(struct dns_answer *answer, const char *text)
{
	if (answer->count == DNS_ANSWER_RECORDS_MAX)
		return;
	answer->records[answer->count++] = (struct dns_record){.type = DNS_TYPE_TXT, .text = text};
}

/* A pointer into the question's name, which starts right behind the header. */
static void put_question_pointer(struct wire_writer *w, size_t offset)
{
	wire_put_be16(w, (uint16_t)(0xc000 | (DNS_HEADER_SIZE + offset)));
}

static void put_record(struct wire_writer *w, const struct dns_query *query,
		       const struct dns_record *record)
{
	put_question_pointer(w, 0);
	wire_put_be16(w, (uint16_t)record->type);
	wire_put_be16(w, query->class == DNS_CLASS_CH ? DNS_CLASS_CH : DNS_CLASS_IN);
	wire_put_be32(w, record->ttl_s);
	if (record->type == DNS_TYPE_A) {
		wire_put_be16(w, sizeof(record->addr.v4));
		wire_put_bytes(w, &record->addr.v4, sizeof(record->addr.v4));
	} else if (record->type == DNS_TYPE_AAAA) {
		wire_put_be16(w, sizeof(record->addr.v6));
		wire_put_bytes(w, &record->addr.v6, sizeof(record->addr.v6));
	} else if (record->type == DNS_TYPE_TXT) {
		size_t size = strnlen(record->text, UINT8_MAX);

		wire_put_be16(w, (uint16_t)(1 + size));
		wire_put_u8(w, (uint8_t)size);
		wire_put_bytes(w, record->text, size);
	} else {
		wire_put_be16(w, record->target.size);
		wire_put_bytes(w, record->target.wire, record->target.size);
	}
}

/* SOA with the zone's own name as its server, and RFC 6303's "nobody.invalid." as its person. */
static void put_soa(struct wire_writer *w, size_t owner_offset)
{
	static const uint8_t person[] = "\006nobody\007invalid";

	put_question_pointer(w, owner_offset);
	wire_put_be16(w, DNS_TYPE_SOA);
	wire_put_be16(w, DNS_CLASS_IN);
	wire_put_be32(w, DNS_SOA_NEGATIVE_S);
	wire_put_be16(w, DNS_POINTER_SIZE + sizeof(person) + 5 * 4);
	put_question_pointer(w, owner_offset);
	wire_put_bytes(w, person, sizeof(person));
	wire_put_be32(w, DNS_SOA_SERIAL);
	wire_put_be32(w, DNS_SOA_REFRESH_S);
	wire_put_be32(w, DNS_SOA_RETRY_S);
	wire_put_be32(w, DNS_SOA_EXPIRE_S);
	wire_put_be32(w, DNS_SOA_NEGATIVE_S);
}

static void put_opt(struct wire_writer *w, const struct dns_query *query,
		    const struct dns_answer *answer)
{
	size_t text_size = answer->ede_text ? strnlen(answer->ede_text, DNS_EDE_TEXT_MAX) : 0;

	wire_put_u8(w, 0);
	wire_put_be16(w, DNS_TYPE_OPT);
	wire_put_be16(w, DNS_UDP_SIZE_OURS);
	wire_put_be32(w, (uint32_t)answer->rcode >> 4 << 24 | (query->dnssec_ok ? DNS_EDNS_DO : 0));
	if (answer->ede == DNS_EDE_NONE) {
		wire_put_be16(w, 0);
		return;
	}
	wire_put_be16(w, (uint16_t)(4 + 2 + text_size));
	wire_put_be16(w, DNS_EDNS_OPTION_EDE);
	wire_put_be16(w, (uint16_t)(2 + text_size));
	wire_put_be16(w, (uint16_t)answer->ede);
	wire_put_bytes(w, answer->ede_text, text_size);
}

static void put_head(struct wire_writer *w, const struct dns_query *query, uint16_t flags,
		     unsigned answers, unsigned authorities)
{
	wire_put_be16(w, query->id);
	wire_put_be16(w, flags);
	wire_put_be16(w, query->has_question);
	wire_put_be16(w, (uint16_t)answers);
	wire_put_be16(w, (uint16_t)authorities);
	wire_put_be16(w, query->has_edns);
	if (query->has_question) {
		wire_put_bytes(w, query->name.wire, query->name.size);
		wire_put_be16(w, query->type);
		wire_put_be16(w, query->class);
	}
}

size_t dns_answer_encode(const struct dns_query *query, const struct dns_answer *answer, void *to,
			 size_t limit)
{
	struct wire_writer w = wire_writer(to, limit);
	uint16_t flags = DNS_FLAG_QR | DNS_FLAG_RA | (answer->rcode & DNS_FLAG_RCODE) |
			 (query->flags & (DNS_FLAG_OPCODE | DNS_FLAG_RD | DNS_FLAG_CD));
	bool has_soa = answer->soa_size > 0;

	if (answer->is_authoritative)
		flags |= DNS_FLAG_AA;
	put_head(&w, query, flags, answer->count + (has_soa && answer->soa_is_answer),
		 has_soa && !answer->soa_is_answer);
	for (unsigned i = 0; i < answer->count; i++)
		put_record(&w, query, &answer->records[i]);
	if (has_soa)
		put_soa(&w, query->name.size - answer->soa_size);
	if (query->has_edns)
		put_opt(&w, query, answer);
	if (wire_fits(&w))
		return wire_written(&w);

	w = wire_writer(to, limit);
	put_head(&w, query, flags | DNS_FLAG_TC, 0, 0);
	if (query->has_edns)
		put_opt(&w, query, answer);
	return wire_written(&w);
}

bool dns_reply_matches(const struct dns_query *query, uint16_t id, const void *reply, size_t size)
{
	struct wire_reader r = wire_reader(reply, size);
	struct dns_name name;

	uint16_t reply_id = wire_be16(&r);
	uint16_t flags = wire_be16(&r);
	uint16_t question_count = wire_be16(&r);
	wire_skip(&r, 6);
	if (!wire_ok(&r) || reply_id != id || !(flags & DNS_FLAG_QR) ||
	    (flags & DNS_FLAG_OPCODE) != (query->flags & DNS_FLAG_OPCODE))
		return false;
	if (question_count == 0)
		return (flags & DNS_FLAG_RCODE) != DNS_RCODE_NOERROR;
	dns_name_read(&r, &name);
	uint16_t type = wire_be16(&r);
	uint16_t class = wire_be16(&r);
	return wire_ok(&r) && question_count == 1 && type == query->type && class == query->class &&
	       dns_name_equal(&name, &query->name);
}

enum dns_rcode dns_reply_rcode(const void *reply)
{
	const uint8_t *bytes = reply;

	return bytes[3] & DNS_FLAG_RCODE;
}

size_t dns_reply_truncate(const struct dns_query *query, const void *reply,
			  uint8_t to[static DNS_UDP_SIZE_MIN])
{
	struct wire_writer w = wire_writer(to, DNS_UDP_SIZE_MIN);
	struct wire_reader r = wire_reader(reply, DNS_HEADER_SIZE);
	struct dns_answer answer;

	dns_answer_init(&answer, DNS_RCODE_NOERROR);
	wire_skip(&r, 2);
	put_head(&w, query, wire_be16(&r) | DNS_FLAG_TC, 0, 0);
	if (query->has_edns)
		put_opt(&w, query, &answer);
	return wire_written(&w);
}
