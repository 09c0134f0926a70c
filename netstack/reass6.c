/* SPDX-License-Identifier: Apache-2.0 */
/* Reassembly of IPv6 fragments; see reass6.h. Sends nothing and knows no clock. */
#include "netstack/reass6.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "netstack/bytes.h"
#include "netstack/switch.h"

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
	struct list link; /* in reass6.packets, the oldest first */
	unsigned port;
	struct addr src;
	struct addr dst;
	uint32_t id;
	uint64_t expires_ms;
	struct list pieces;
	unsigned slots;    /* what it counts for in the bounds: its pieces, and at least 1 */
	uint32_t received; /* bytes of all pieces */
	uint32_t size;     /* of the fragmentable part; 0: the last fragment is still missing */
	uint8_t *head;     /* what stands before the fragment header; NULL: not here yet */
	size_t head_size;
	size_t next_at; /* in head: the field that names what follows */
	uint8_t next;   /* what follows, as the first fragment says */
	bool spoiled;   /* fragments overlapped; all of it is dropped */
};

struct reass6 {
	struct list packets;
	unsigned slots;
	unsigned slots_by_port[SWITCH_PORTS_MAX + 1];
	size_t bytes;
};

/* The fields of a fragment header. */
struct span {
	uint32_t start;
	uint32_t end;
	uint32_t id;
	bool more;
};

int reass6_new(struct reass6 **ret_reass)
{
	struct reass6 *reass = calloc(1, sizeof(*reass));

	if (!reass)
		return -ENOMEM;
	list_init(&reass->packets);
	*ret_reass = reass;
	return 0;
}

static void count_slots(struct reass6 *reass, struct packet *packet, unsigned slots)
{
	reass->slots += slots - packet->slots;
	reass->slots_by_port[packet->port] += slots - packet->slots;
	packet->slots = slots;
}

/* Frees the packet's bytes. */
static void packet_empty(struct reass6 *reass, struct packet *packet)
{
	while (!list_empty(&packet->pieces)) {
		struct piece *piece = container_of(list_first(&packet->pieces), struct piece, link);

		list_remove(&piece->link);
		free(piece);
	}
	reass->bytes -= packet->received;
	packet->received = 0;
	free(packet->head);
	packet->head = NULL;
}

static void packet_free(struct reass6 *reass, struct packet *packet)
{
	packet_empty(reass, packet);
	count_slots(reass, packet, 0);
	list_remove(&packet->link);
	free(packet);
}

void reass6_free(struct reass6 *reass)
{
	if (!reass)
		return;
	while (!list_empty(&reass->packets))
		packet_free(reass, container_of(list_first(&reass->packets), struct packet, link));
	free(reass);
}

static struct packet *packet_find(struct reass6 *reass, const struct reass6_fragment *fragment,
				  uint32_t id)
{
	list_for_each (link, &reass->packets) {
		struct packet *packet = container_of(link, struct packet, link);

		if (packet->id == id && packet->port == fragment->port &&
		    addr_equal(&packet->src, &fragment->src) &&
		    addr_equal(&packet->dst, &fragment->dst))
			return packet;
	}
	return NULL;
}

/* Frees the oldest packet other than `spared`, of one port or (0) of any. Returns false when there
 * is none. */
static bool drop_oldest(struct reass6 *reass, const struct packet *spared, bool any, unsigned port)
{
	list_for_each_safe (link, &reass->packets) {
		struct packet *packet = container_of(link, struct packet, link);

		if (packet == spared || !(any || packet->port == port))
			continue;
		packet_free(reass, packet);
		return true;
	}
	return false;
}

/* Makes room for another fragment of `port`'s. Returns false when `spared` alone fills it. */
static bool make_room(struct reass6 *reass, const struct packet *spared, unsigned port, size_t size)
{
	while (reass->slots_by_port[port] >= REASS6_PORT_FRAGMENTS_MAX) {
		if (!drop_oldest(reass, spared, false, port))
			return false;
	}
	while (reass->slots >= REASS6_FRAGMENTS_MAX || reass->bytes + size > REASS6_BYTES_MAX) {
		if (!drop_oldest(reass, spared, true, 0))
			return false;
	}
	return true;
}

static struct packet *packet_new(struct reass6 *reass, const struct reass6_fragment *fragment,
				 uint32_t id, uint64_t now_ms)
{
	struct packet *packet = calloc(1, sizeof(*packet));

	if (!packet)
		return NULL;
	packet->port = fragment->port;
	packet->src = fragment->src;
	packet->dst = fragment->dst;
	packet->id = id;
	packet->expires_ms = now_ms + REASS6_LIFETIME_MS;
	list_init(&packet->pieces);
	count_slots(reass, packet, 1);
	list_add_tail(&reass->packets, &packet->link);
	return packet;
}

static void spoil(struct reass6 *reass, struct packet *packet)
{
	packet_empty(reass, packet);
	count_slots(reass, packet, 1);
	packet->spoiled = true;
}

enum place { PLACE_FREE, PLACE_COPY, PLACE_TAKEN };

/* Where a piece belongs: *ret_before is what it stands behind. The usual place is the last one. */
static enum place find_place(struct packet *packet, const struct span *span, const uint8_t *bytes,
			     struct list **ret_before)
{
	struct list *at = packet->pieces.prev;

	for (; at != &packet->pieces; at = at->prev) {
		struct piece *piece = container_of(at, struct piece, link);

		if (piece->start == span->start && piece->end == span->end &&
		    memcmp(piece->bytes, bytes, span->end - span->start) == 0)
			return PLACE_COPY;
		if (piece->end <= span->start)
			break;
		if (piece->start < span->end)
			return PLACE_TAKEN;
	}
	*ret_before = at;
	return PLACE_FREE;
}

/* Whether the fragment contradicts what is known of the packet's end. */
static bool end_contradicts(const struct packet *packet, const struct span *span)
{
	const struct piece *last;

	if (packet->size)
		return span->end > packet->size || (!span->more && span->end != packet->size);
	if (span->more || list_empty(&packet->pieces))
		return false;
	last = container_of(packet->pieces.prev, struct piece, link);
	return last->end > span->end;
}

/* Copies what stands before the fragment header, to be the packet's. */
static int keep_head(struct packet *packet, const struct reass6_fragment *fragment)
{
	packet->head = malloc(fragment->fragment_at);
	if (!packet->head)
		return -ENOMEM;
	memcpy(packet->head, fragment->ip, fragment->fragment_at);
	packet->head_size = fragment->fragment_at;
	packet->next_at = fragment->next_at;
	packet->next = fragment->ip[fragment->fragment_at];
	return 0;
}

static uint8_t *packet_start(const uint8_t *head, size_t head_size, size_t next_at, uint8_t next,
			     size_t size)
{
	uint8_t *room = malloc(REASS6_ROOM + head_size + size);
	uint8_t *ip;

	if (!room)
		return NULL;
	ip = room + REASS6_ROOM;
	memcpy(ip, head, head_size);
	ip[next_at] = next;
	store_be16(ip + IPV6_AT_PAYLOAD_SIZE, (uint16_t)(head_size - IPV6_HEADER_SIZE + size));
	return ip;
}

/* Puts a complete packet together and frees its parts. */
static enum reass6_result finish(struct reass6 *reass, struct packet *packet, uint8_t **ret_packet,
				 size_t *ret_size)
{
	size_t head_size = packet->head_size;
	uint8_t *ip = packet_start(packet->head, head_size, packet->next_at, packet->next,
				   packet->size);

	if (ip) {
		list_for_each (link, &packet->pieces) {
			const struct piece *piece = container_of(link, struct piece, link);

			memcpy(ip + head_size + piece->start, piece->bytes,
			       piece->end - piece->start);
		}
		*ret_packet = ip;
		*ret_size = head_size + packet->size;
	}
	packet_free(reass, packet);
	return ip ? REASS6_COMPLETE : REASS6_KEPT;
}

/* Adds the piece to its packet, in which it fits. */
static int add_piece(struct reass6 *reass, struct packet *packet, const struct span *span,
		     const uint8_t *bytes, struct list *before)
{
	uint32_t size = span->end - span->start;
	struct piece *piece = malloc(sizeof(*piece) + size);

	if (!piece)
		return -ENOMEM;
	piece->start = span->start;
	piece->end = span->end;
	memcpy(piece->bytes, bytes, size);
	list_add_head(before, &piece->link);
	if (packet->received)
		count_slots(reass, packet, packet->slots + 1);
	packet->received += size;
	reass->bytes += size;
	if (!span->more)
		packet->size = span->end;
	return 0;
}

static enum reass6_result add(struct reass6 *reass, const struct reass6_fragment *fragment,
			      const struct span *span, uint64_t now_ms, uint8_t **ret_packet,
			      size_t *ret_size)
{
	const uint8_t *bytes = fragment->ip + fragment->fragment_at + IP6_FRAGMENT_HEADER_SIZE;
	struct packet *packet = packet_find(reass, fragment, span->id);
	enum place place = PLACE_FREE;
	struct list *before;

	if (packet && packet->spoiled)
		return REASS6_KEPT;
	if (!make_room(reass, packet, fragment->port, span->end - span->start))
		return REASS6_KEPT;
	if (!packet)
		packet = packet_new(reass, fragment, span->id, now_ms);
	if (!packet)
		return REASS6_KEPT;
	place = find_place(packet, span, bytes, &before);
	if (place == PLACE_COPY)
		return REASS6_KEPT;
	if (place == PLACE_TAKEN || end_contradicts(packet, span)) {
		spoil(reass, packet);
		return REASS6_OVERLAPPING;
	}
	if (add_piece(reass, packet, span, bytes, before) < 0 ||
	    (span->start == 0 && keep_head(packet, fragment) < 0)) {
		packet_free(reass, packet);
		return REASS6_KEPT;
	}
	if (!packet->head || packet->received != packet->size)
		return REASS6_KEPT;
	/* The first fragment's head counts; others' may have been shorter. */
	if (packet->head_size - IPV6_HEADER_SIZE + packet->size > UINT16_MAX) {
		packet_free(reass, packet);
		return REASS6_TOO_LARGE;
	}
	return finish(reass, packet, ret_packet, ret_size);
}

enum reass6_result reass6_add(struct reass6 *reass, const struct reass6_fragment *fragment,
			      uint64_t now_ms, uint8_t **ret_packet, size_t *ret_size)
{
	const uint8_t *header = fragment->ip + fragment->fragment_at;
	size_t size = fragment->size - fragment->fragment_at - IP6_FRAGMENT_HEADER_SIZE;
	uint16_t field = load_be16(header + FRAGMENT_AT_OFFSET);
	struct span span = {
		.start = field & FRAGMENT_OFFSET,
		.end = (field & FRAGMENT_OFFSET) + (uint32_t)size,
		.id = load_be32(header + FRAGMENT_AT_ID),
		.more = field & FRAGMENT_MORE,
	};
	uint8_t *ip;

	if (span.more && size % 8)
		return REASS6_BAD_SIZE;
	if (fragment->fragment_at - IPV6_HEADER_SIZE + span.end > UINT16_MAX)
		return REASS6_TOO_LARGE;
	if (span.start == 0 && !span.more) {
		ip = packet_start(fragment->ip, fragment->fragment_at, fragment->next_at, header[0],
				  size);
		if (!ip)
			return REASS6_KEPT;
		memcpy(ip + fragment->fragment_at, header + IP6_FRAGMENT_HEADER_SIZE, size);
		*ret_packet = ip;
		*ret_size = fragment->fragment_at + size;
		return REASS6_COMPLETE;
	}
	if (!size)
		return REASS6_KEPT;
	return add(reass, fragment, &span, now_ms, ret_packet, ret_size);
}

void reass6_packet_free(uint8_t *packet)
{
	if (packet)
		free(packet - REASS6_ROOM);
}

uint64_t reass6_expire(struct reass6 *reass, uint64_t now_ms)
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

void reass6_forget_port(struct reass6 *reass, unsigned port)
{
	while (drop_oldest(reass, NULL, false, port))
		;
}

unsigned reass6_fragments(const struct reass6 *reass)
{
	return reass->slots;
}
