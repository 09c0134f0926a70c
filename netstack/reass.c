/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly of fragments of both families; see reass.h. Sends nothing and knows no clock. */
#include "netstack/reass.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/csum.h"
#include "base/list.h"
#include "netstack/bytes.h"
#include "netstack/switch.h"

/* In IPv6's fragment header. */
#define FRAGMENT_AT_OFFSET 2
#define FRAGMENT_AT_ID     4
#define FRAGMENT_MORE      0x0001
#define FRAGMENT_OFFSET    0xfff8

struct piece {
	struct list link; /* in packet.pieces, by `start` */
	uint32_t start;   /* in the fragmentable part */
	uint32_t end;
	uint8_t bytes[];
};

struct packet {
	struct list link; /* in reass.packets, the oldest first */
	unsigned port;
	struct addr src;
	struct addr dst;
	uint32_t id;
	uint8_t protocol; /* IPv4's; IPv6's first fragment has it in its head */
	uint64_t expires_ms;
	struct list pieces;
	unsigned slots;    /* what it counts for in the bounds: its pieces, and at least 1 */
	uint32_t received; /* bytes of all pieces */
	uint32_t size;     /* of the fragmentable part; 0: the last fragment is still missing */
	uint8_t *head;     /* the first fragment's; NULL: not here yet */
	size_t head_size;
	bool spoiled; /* fragments overlapped; all of it is dropped */
};

/* What is held, in all or of a port. */
struct usage {
	unsigned slots;
	size_t bytes;
};

struct reass {
	struct list packets;
	struct usage all;
	struct usage by_port[SWITCH_PORTS_MAX + 1];
};

/* What a fragment is, of either family. */
struct part {
	uint32_t id;
	uint8_t protocol; /* as packet.protocol */
	bool more;
	uint32_t start; /* in the fragmentable part */
	uint32_t end;
	const uint8_t *bytes; /* the fragmentable part's */
	const uint8_t *head;  /* what stands before it, and before IPv6's fragment header */
	size_t head_size;
	size_t next_at; /* in the head: the field that is to say `next` */
	uint8_t next;
};

int reass_new(struct reass **ret_reass)
{
	struct reass *reass = calloc(1, sizeof(*reass));

	if (!reass)
		return -ENOMEM;
	list_init(&reass->packets);
	*ret_reass = reass;
	return 0;
}

static void count_slots(struct reass *reass, struct packet *packet, unsigned slots)
{
	reass->all.slots += slots - packet->slots;
	reass->by_port[packet->port].slots += slots - packet->slots;
	packet->slots = slots;
}

static void count_bytes(struct reass *reass, struct packet *packet, uint32_t received)
{
	reass->all.bytes += (size_t)received - packet->received;
	reass->by_port[packet->port].bytes += (size_t)received - packet->received;
	packet->received = received;
}

/* Frees the packet's bytes. */
static void packet_empty(struct reass *reass, struct packet *packet)
{
	while (!list_empty(&packet->pieces)) {
		struct piece *piece = container_of(list_first(&packet->pieces), struct piece, link);

		list_remove(&piece->link);
		free(piece);
	}
	count_bytes(reass, packet, 0);
	free(packet->head);
	packet->head = NULL;
}

static void packet_free(struct reass *reass, struct packet *packet)
{
	packet_empty(reass, packet);
	count_slots(reass, packet, 0);
	list_remove(&packet->link);
	free(packet);
}

void reass_free(struct reass *reass)
{
	if (!reass)
		return;
	while (!list_empty(&reass->packets))
		packet_free(reass, container_of(list_first(&reass->packets), struct packet, link));
	free(reass);
}

static struct packet *packet_find(struct reass *reass, const struct reass_fragment *fragment,
				  const struct part *part)
{
	list_for_each (link, &reass->packets) {
		struct packet *packet = container_of(link, struct packet, link);

		if (packet->id == part->id && packet->protocol == part->protocol &&
		    packet->port == fragment->port && addr_equal(&packet->src, &fragment->src) &&
		    addr_equal(&packet->dst, &fragment->dst))
			return packet;
	}
	return NULL;
}

/* Frees the port's oldest packet other than `spared`. Returns false when there is none. */
static bool drop_oldest(struct reass *reass, const struct packet *spared, unsigned port)
{
	list_for_each (link, &reass->packets) {
		struct packet *packet = container_of(link, struct packet, link);

		if (packet == spared || packet->port != port)
			continue;
		packet_free(reass, packet);
		return true;
	}
	return false;
}

/* The ports that hold the most fragments and the most bytes. */
static unsigned most_slots(const struct reass *reass)
{
	unsigned most = 0;

	for (unsigned i = 1; i <= SWITCH_PORTS_MAX; i++) {
		if (reass->by_port[i].slots > reass->by_port[most].slots)
			most = i;
	}
	return most;
}

static unsigned most_bytes(const struct reass *reass)
{
	unsigned most = 0;

	for (unsigned i = 1; i <= SWITCH_PORTS_MAX; i++) {
		if (reass->by_port[i].bytes > reass->by_port[most].bytes)
			most = i;
	}
	return most;
}

/* Makes room for another fragment of `port`'s. Returns false when `spared` alone fills it. */
static bool make_room(struct reass *reass, const struct packet *spared, unsigned port, size_t size)
{
	const struct usage *own = &reass->by_port[port];

	while (own->slots >= REASS_PORT_FRAGMENTS_MAX || own->bytes + size > REASS_PORT_BYTES_MAX) {
		if (!drop_oldest(reass, spared, port))
			return false;
	}
	while (reass->all.slots >= REASS_FRAGMENTS_MAX) {
		if (!drop_oldest(reass, spared, most_slots(reass)))
			return false;
	}
	while (reass->all.bytes + size > REASS_BYTES_MAX) {
		if (!drop_oldest(reass, spared, most_bytes(reass)))
			return false;
	}
	return true;
}

static struct packet *packet_new(struct reass *reass, const struct reass_fragment *fragment,
				 const struct part *part, uint64_t now_ms)
{
	struct packet *packet = calloc(1, sizeof(*packet));

	if (!packet)
		return NULL;
	packet->port = fragment->port;
	packet->src = fragment->src;
	packet->dst = fragment->dst;
	packet->id = part->id;
	packet->protocol = part->protocol;
	packet->expires_ms = now_ms + REASS_LIFETIME_MS;
	list_init(&packet->pieces);
	count_slots(reass, packet, 1);
	list_add_tail(&reass->packets, &packet->link);
	return packet;
}

static void spoil(struct reass *reass, struct packet *packet)
{
	packet_empty(reass, packet);
	count_slots(reass, packet, 1);
	packet->spoiled = true;
}

enum place { PLACE_FREE, PLACE_COPY, PLACE_TAKEN };

/* Where a piece belongs: *ret_before is what it stands behind. The usual place is the last one. */
static enum place find_place(struct packet *packet, const struct part *part,
			     struct list **ret_before)
{
	struct list *at = packet->pieces.prev;

	for (; at != &packet->pieces; at = at->prev) {
		struct piece *piece = container_of(at, struct piece, link);

		if (piece->start == part->start && piece->end == part->end &&
		    memcmp(piece->bytes, part->bytes, part->end - part->start) == 0)
			return PLACE_COPY;
		if (piece->end <= part->start)
			break;
		if (piece->start < part->end)
			return PLACE_TAKEN;
	}
	*ret_before = at;
	return PLACE_FREE;
}

/* Whether the fragment contradicts what is known of the packet's end. */
static bool end_contradicts(const struct packet *packet, const struct part *part)
{
	const struct piece *last;

	if (packet->size)
		return part->end > packet->size || (!part->more && part->end != packet->size);
	if (part->more || list_empty(&packet->pieces))
		return false;
	last = container_of(packet->pieces.prev, struct piece, link);
	return last->end > part->end;
}

static void put_head(uint8_t *to, const struct part *part)
{
	memcpy(to, part->head, part->head_size);
	to[part->next_at] = part->next;
}

/* Copies the first fragment's head, to be the packet's. */
static int keep_head(struct packet *packet, const struct part *part)
{
	packet->head = malloc(part->head_size);
	if (!packet->head)
		return -ENOMEM;
	put_head(packet->head, part);
	packet->head_size = part->head_size;
	return 0;
}

/* What the header of a whole packet must say of its size. */
static size_t size_field(int family, size_t head_size, size_t size)
{
	return head_size + size - (family == AF_INET6 ? IPV6_HEADER_SIZE : 0);
}

/* Makes a fragment's header that of a whole packet. */
static void fill_header(int family, uint8_t *ip, size_t head_size, size_t size)
{
	uint16_t field = (uint16_t)size_field(family, head_size, size);

	if (family == AF_INET6) {
		store_be16(ip + IPV6_AT_PAYLOAD_SIZE, field);
		return;
	}
	store_be16(ip + IPV4_AT_TOTAL_SIZE, field);
	store_be16(ip + IPV4_AT_FRAGMENT, 0);
	store_be16(ip + IPV4_AT_CSUM, 0);
	store_csum(ip + IPV4_AT_CSUM, csum_fold(csum_add(0, ip, head_size)));
}

static uint8_t *packet_room(size_t size)
{
	uint8_t *ip = malloc(REASS_ROOM + size);

	if (ip)
		ip += REASS_ROOM;
	return ip;
}

/* Puts a complete packet together and frees its parts. */
static enum reass_result finish(struct reass *reass, struct packet *packet, uint8_t **ret_packet,
				size_t *ret_size)
{
	size_t head_size = packet->head_size;
	uint8_t *ip = packet_room(head_size + packet->size);

	if (ip) {
		memcpy(ip, packet->head, head_size);
		fill_header(packet->src.family, ip, head_size, packet->size);
		list_for_each (link, &packet->pieces) {
			const struct piece *piece = container_of(link, struct piece, link);

			memcpy(ip + head_size + piece->start, piece->bytes,
			       piece->end - piece->start);
		}
		*ret_packet = ip;
		*ret_size = head_size + packet->size;
	}
	packet_free(reass, packet);
	return ip ? REASS_COMPLETE : REASS_KEPT;
}

/* A packet in one fragment. */
static enum reass_result finish_alone(int family, const struct part *part, uint8_t **ret_packet,
				      size_t *ret_size)
{
	uint8_t *ip = packet_room(part->head_size + part->end);

	if (!ip)
		return REASS_KEPT;
	put_head(ip, part);
	fill_header(family, ip, part->head_size, part->end);
	memcpy(ip + part->head_size, part->bytes, part->end);
	*ret_packet = ip;
	*ret_size = part->head_size + part->end;
	return REASS_COMPLETE;
}

/* Adds the piece to its packet, in which it fits. */
static int add_piece(struct reass *reass, struct packet *packet, const struct part *part,
		     struct list *before)
{
	uint32_t size = part->end - part->start;
	struct piece *piece = malloc(sizeof(*piece) + size);

	if (!piece)
		return -ENOMEM;
	piece->start = part->start;
	piece->end = part->end;
	memcpy(piece->bytes, part->bytes, size);
	list_add_head(before, &piece->link);
	if (packet->received)
		count_slots(reass, packet, packet->slots + 1);
	count_bytes(reass, packet, packet->received + size);
	if (!part->more)
		packet->size = part->end;
	return 0;
}

static enum reass_result add(struct reass *reass, const struct reass_fragment *fragment,
			     const struct part *part, uint64_t now_ms, uint8_t **ret_packet,
			     size_t *ret_size)
{
	struct packet *packet = packet_find(reass, fragment, part);
	enum place place = PLACE_FREE;
	struct list *before;

	if (packet && packet->spoiled)
		return REASS_KEPT;
	if (!make_room(reass, packet, fragment->port, part->end - part->start))
		return REASS_KEPT;
	if (!packet)
		packet = packet_new(reass, fragment, part, now_ms);
	if (!packet)
		return REASS_KEPT;
	place = find_place(packet, part, &before);
	if (place == PLACE_COPY)
		return REASS_KEPT;
	if (place == PLACE_TAKEN || end_contradicts(packet, part)) {
		spoil(reass, packet);
		return REASS_OVERLAPPING;
	}
	if (add_piece(reass, packet, part, before) < 0 ||
	    (part->start == 0 && keep_head(packet, part) < 0)) {
		packet_free(reass, packet);
		return REASS_KEPT;
	}
	if (!packet->head || packet->received != packet->size)
		return REASS_KEPT;
	/* The first fragment's head counts; others' may have been shorter. */
	if (size_field(packet->src.family, packet->head_size, packet->size) > UINT16_MAX) {
		packet_free(reass, packet);
		return REASS_TOO_LARGE;
	}
	return finish(reass, packet, ret_packet, ret_size);
}

static struct part decode4(const struct reass_fragment *fragment)
{
	const uint8_t *ip = fragment->ip;
	size_t head_size = (size_t)(ip[0] & 0x0f) * 4;
	uint16_t field = load_be16(ip + IPV4_AT_FRAGMENT);
	uint32_t start = (uint32_t)(field & IPV4_FRAGMENT_OFFSET) * 8;

	return (struct part){
		.id = load_be16(ip + IPV4_AT_ID),
		.protocol = ip[IPV4_AT_PROTOCOL],
		.more = field & IPV4_MORE_FRAGMENTS,
		.start = start,
		.end = start + (uint32_t)(fragment->size - head_size),
		.bytes = ip + head_size,
		.head = ip,
		.head_size = head_size,
		.next_at = IPV4_AT_PROTOCOL,
		.next = ip[IPV4_AT_PROTOCOL],
	};
}

static struct part decode6(const struct reass_fragment *fragment)
{
	const uint8_t *header = fragment->ip + fragment->fragment_at;
	size_t size = fragment->size - fragment->fragment_at - IP6_FRAGMENT_HEADER_SIZE;
	uint16_t field = load_be16(header + FRAGMENT_AT_OFFSET);

	return (struct part){
		.id = load_be32(header + FRAGMENT_AT_ID),
		.more = field & FRAGMENT_MORE,
		.start = field & FRAGMENT_OFFSET,
		.end = (field & FRAGMENT_OFFSET) + (uint32_t)size,
		.bytes = header + IP6_FRAGMENT_HEADER_SIZE,
		.head = fragment->ip,
		.head_size = fragment->fragment_at,
		.next_at = fragment->next_at,
		.next = header[0],
	};
}

enum reass_result reass_add(struct reass *reass, const struct reass_fragment *fragment,
			    uint64_t now_ms, uint8_t **ret_packet, size_t *ret_size)
{
	int family = fragment->src.family;
	struct part part = family == AF_INET6 ? decode6(fragment) : decode4(fragment);

	if (part.more && (part.end - part.start) % 8)
		return REASS_BAD_SIZE;
	if (size_field(family, part.head_size, part.end) > UINT16_MAX)
		return REASS_TOO_LARGE;
	if (part.start == 0 && !part.more)
		return finish_alone(family, &part, ret_packet, ret_size);
	if (part.start == part.end)
		return REASS_KEPT;
	return add(reass, fragment, &part, now_ms, ret_packet, ret_size);
}

void reass_packet_free(uint8_t *packet)
{
	if (packet)
		free(packet - REASS_ROOM);
}

uint64_t reass_expire(struct reass *reass, uint64_t now_ms)
{
	while (!list_empty(&reass->packets)) {
		struct packet *packet = container_of(list_first(&reass->packets), struct packet,
						     link);

		if (packet->expires_ms > now_ms)
			return packet->expires_ms;
		packet_free(reass, packet);
	}
	return 0;
}

void reass_forget_port(struct reass *reass, unsigned port)
{
	while (drop_oldest(reass, NULL, port))
		;
}

unsigned reass_fragments(const struct reass *reass)
{
	return reass->all.slots;
}
