/* SPDX-License-Identifier: Apache-2.0 */
/* The connection table and the state machine of a vsock device; see vsock_mux.h. */
#include "virtio/vsock_mux.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DUE(OP) (1u << (OP))

/* The guest is told of new credit once this part of the buffer came free. */
#define CREDIT_UPDATE_PART 4

void vsock_mux_init(struct vsock_mux *mux, uint64_t guest_cid, unsigned conns_max,
		    uint32_t buf_alloc)
{
	memset(mux, 0, sizeof(*mux));
	mux->guest_cid = guest_cid;
	mux->conns_max = conns_max;
	mux->buf_alloc = buf_alloc;
	mux->hash_key = hash_key_random();
	mux->next_host_port = VSOCK_HOST_PORT_FIRST;
	hmap_init(&mux->conns);
	list_init(&mux->due);
	list_init(&mux->timed);
}

static uint64_t conn_hash(const struct vsock_mux *mux, uint32_t guest_port, uint32_t host_port)
{
	const uint32_t key[2] = {guest_port, host_port};

	return hash_bytes(&mux->hash_key, key, sizeof(key));
}

static struct vsock_conn *conn_find(const struct vsock_mux *mux, uint32_t guest_port,
				    uint32_t host_port)
{
	struct hmap_node *node = hmap_find(&mux->conns, conn_hash(mux, guest_port, host_port));

	for (; node; node = hmap_find_next(node)) {
		struct vsock_conn *conn = container_of(node, struct vsock_conn, node);

		if (conn->guest_port == guest_port && conn->host_port == host_port)
			return conn;
	}
	return NULL;
}

static int conn_new(struct vsock_mux *mux, uint32_t guest_port, uint32_t host_port,
		    enum vsock_conn_state state, struct vsock_conn **ret)
{
	if (mux->conns.count >= mux->conns_max) {
		mux->counters.conns_refused++;
		return -ENOSPC;
	}
	struct vsock_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return -ENOMEM;
	conn->guest_port = guest_port;
	conn->host_port = host_port;
	conn->state = state;
	list_init(&conn->due_link);
	list_init(&conn->timed_link);
	if (hmap_insert(&mux->conns, &conn->node, conn_hash(mux, guest_port, host_port)) < 0) {
		free(conn);
		return -ENOMEM;
	}
	*ret = conn;
	return 0;
}

static void conn_free(struct vsock_mux *mux, struct vsock_conn *conn)
{
	list_remove(&conn->due_link);
	list_remove(&conn->timed_link);
	hmap_remove(&mux->conns, &conn->node);
	free(conn);
}

void vsock_mux_clear(struct vsock_mux *mux)
{
	struct hmap_node *node;

	while ((node = hmap_next(&mux->conns, NULL)))
		conn_free(mux, container_of(node, struct vsock_conn, node));
	mux->rst_count = 0;
}

void vsock_mux_destroy(struct vsock_mux *mux)
{
	vsock_mux_clear(mux);
	hmap_destroy(&mux->conns);
}

static void conn_due(struct vsock_mux *mux, struct vsock_conn *conn, enum vsock_op op)
{
	if (!conn->due)
		list_add_tail(&mux->due, &conn->due_link);
	conn->due |= DUE(op);
}

static void conn_deadline(struct vsock_mux *mux, struct vsock_conn *conn, uint64_t deadline_ms)
{
	conn->deadline_ms = deadline_ms;
	list_remove(&conn->timed_link);
	list_add_tail(&mux->timed, &conn->timed_link);
}

/* Lets go of it: what is left to do is to tell the guest, if it ever heard of it. */
static void conn_end(struct vsock_mux *mux, struct vsock_conn *conn)
{
	if (conn->due & DUE(VSOCK_OP_REQUEST)) {
		conn_free(mux, conn);
		return;
	}
	list_remove(&conn->timed_link);
	list_remove(&conn->due_link);
	conn->state = VSOCK_RESETTING;
	conn->user = NULL;
	conn->due = 0;
	conn_due(mux, conn, VSOCK_OP_RST);
}

/* An RST for what is no connection. */
static void stray_reset(struct vsock_mux *mux, const struct vsock_header *header)
{
	if (header->op == VSOCK_OP_RST)
		return;
	if (mux->rst_count == VSOCK_RST_QUEUE_MAX) {
		mux->counters.resets_dropped++;
		return;
	}
	mux->rsts[(mux->rst_first + mux->rst_count++) % VSOCK_RST_QUEUE_MAX] =
		(struct vsock_header){
			.src_cid = header->dst_cid,
			.dst_cid = header->src_cid,
			.src_port = header->dst_port,
			.dst_port = header->src_port,
			.type = header->type,
			.op = VSOCK_OP_RST,
		};
}

/* The guest breaks the rules of a connection. */
static struct vsock_result violation(struct vsock_mux *mux, struct vsock_conn *conn)
{
	struct vsock_result result = {.action = VSOCK_ACT_ABORT, .user = conn->user};

	mux->counters.packets_invalid++;
	conn_end(mux, conn);
	return result;
}

static struct vsock_result input_request(struct vsock_mux *mux, const struct vsock_header *header)
{
	struct vsock_conn *conn;

	if (conn_new(mux, header->src_port, header->dst_port, VSOCK_CONNECTING, &conn) < 0) {
		stray_reset(mux, header);
		return (struct vsock_result){.action = VSOCK_ACT_NONE};
	}
	mux->counters.conns_in++;
	conn->guest_buf_alloc = header->buf_alloc;
	conn->guest_fwd_cnt = header->fwd_cnt;
	return (struct vsock_result){.action = VSOCK_ACT_CONNECT, .conn = conn};
}

static struct vsock_result input_reset(struct vsock_mux *mux, struct vsock_conn *conn)
{
	struct vsock_result result = {.action = VSOCK_ACT_ABORT, .user = conn->user};

	if (!result.user)
		result.action = VSOCK_ACT_NONE;
	mux->counters.resets_received++;
	conn_free(mux, conn);
	return result;
}

static struct vsock_result input_shutdown(struct vsock_mux *mux, struct vsock_conn *conn,
					  unsigned flags)
{
	conn->guest_shut |= flags & VSOCK_SHUT_BOTH;
	if (conn->guest_shut != VSOCK_SHUT_BOTH)
		return (struct vsock_result){
			.action = VSOCK_ACT_UPDATE, .conn = conn, .user = conn->user};
	/* It has said all and wants no more: for the guest the connection ends here, with our RST,
	 * while what it said goes on its way to the host. */
	struct vsock_result result = {.action = VSOCK_ACT_FINISH, .user = conn->user};

	conn_end(mux, conn);
	return result;
}

static struct vsock_result input_data(struct vsock_mux *mux, struct vsock_conn *conn,
				      const struct vsock_header *header, size_t payload_size)
{
	if ((conn->guest_shut & VSOCK_SHUT_SEND) || header->size > payload_size ||
	    header->size > mux->buf_alloc - vsock_conn_buffered(conn))
		return violation(mux, conn);
	conn->received_cnt += header->size;
	return (struct vsock_result){.action = VSOCK_ACT_DATA, .conn = conn, .user = conn->user};
}

static struct vsock_result input_open(struct vsock_mux *mux, struct vsock_conn *conn,
				      const struct vsock_header *header, size_t payload_size)
{
	switch (header->op) {
	case VSOCK_OP_RW:
		return input_data(mux, conn, header, payload_size);
	case VSOCK_OP_SHUTDOWN:
		return input_shutdown(mux, conn, header->flags);
	case VSOCK_OP_CREDIT_REQUEST:
		conn_due(mux, conn, VSOCK_OP_CREDIT_UPDATE);
		break;
	case VSOCK_OP_CREDIT_UPDATE:
		break;
	default:
		return violation(mux, conn);
	}
	return (struct vsock_result){.action = VSOCK_ACT_UPDATE, .conn = conn, .user = conn->user};
}

/* A packet for a connection before it is open. */
static struct vsock_result input_early(struct vsock_mux *mux, struct vsock_conn *conn,
				       const struct vsock_header *header)
{
	if (header->op == VSOCK_OP_CREDIT_UPDATE || header->op == VSOCK_OP_CREDIT_REQUEST)
		return (struct vsock_result){.action = VSOCK_ACT_NONE};
	if (conn->state == VSOCK_REQUESTED && header->op == VSOCK_OP_RESPONSE) {
		conn->state = VSOCK_OPEN;
		list_remove(&conn->timed_link);
		return (struct vsock_result){
			.action = VSOCK_ACT_OPENED, .conn = conn, .user = conn->user};
	}
	/* The guest gave up while the host's side was connecting. */
	if (conn->state == VSOCK_CONNECTING && header->op == VSOCK_OP_SHUTDOWN)
		return input_shutdown(mux, conn, VSOCK_SHUT_BOTH);
	return violation(mux, conn);
}

struct vsock_result vsock_mux_input(struct vsock_mux *mux, const struct vsock_header *header,
				    size_t payload_size)
{
	const struct vsock_result none = {.action = VSOCK_ACT_NONE};

	if (header->src_cid != mux->guest_cid) {
		mux->counters.packets_invalid++;
		return none;
	}
	if (header->dst_cid != VSOCK_CID_HOST || header->type != VSOCK_TYPE_STREAM) {
		mux->counters.packets_invalid++;
		stray_reset(mux, header);
		return none;
	}
	struct vsock_conn *conn = conn_find(mux, header->src_port, header->dst_port);

	if (!conn) {
		if (header->op == VSOCK_OP_REQUEST)
			return input_request(mux, header);
		stray_reset(mux, header);
		return none;
	}
	if (header->op == VSOCK_OP_RST)
		return input_reset(mux, conn);
	if (conn->guest_buf_alloc != header->buf_alloc || conn->guest_fwd_cnt != header->fwd_cnt)
		conn->credit_asked = false;
	conn->guest_buf_alloc = header->buf_alloc;
	conn->guest_fwd_cnt = header->fwd_cnt;
	switch (conn->state) {
	case VSOCK_CONNECTING:
	case VSOCK_REQUESTED:
		return input_early(mux, conn, header);
	case VSOCK_OPEN:
		return input_open(mux, conn, header, payload_size);
	case VSOCK_CLOSING:
		/* The guest closes its half too: it may wait for our RST as we wait for its. */
		if (header->op == VSOCK_OP_SHUTDOWN)
			input_shutdown(mux, conn, header->flags);
		break;
	case VSOCK_RESETTING:
		break;
	}
	return none;
}

static struct vsock_header conn_header(struct vsock_mux *mux, struct vsock_conn *conn,
				       enum vsock_op op)
{
	conn->fwd_told = conn->fwd_cnt;
	return (struct vsock_header){
		.src_cid = VSOCK_CID_HOST,
		.dst_cid = mux->guest_cid,
		.src_port = conn->host_port,
		.dst_port = conn->guest_port,
		.type = VSOCK_TYPE_STREAM,
		.op = (uint16_t)op,
		.buf_alloc = mux->buf_alloc,
		.fwd_cnt = conn->fwd_cnt,
	};
}

static enum vsock_op conn_next_op(const struct vsock_conn *conn)
{
	/* What opens a connection goes before what closes it. */
	static const enum vsock_op order[] = {
		VSOCK_OP_REQUEST,        VSOCK_OP_RESPONSE, VSOCK_OP_CREDIT_UPDATE,
		VSOCK_OP_CREDIT_REQUEST, VSOCK_OP_SHUTDOWN, VSOCK_OP_RST,
	};
	unsigned i = 0;

	while (!(conn->due & DUE(order[i])))
		i++;
	return order[i];
}

bool vsock_mux_output(struct vsock_mux *mux, struct vsock_header *ret)
{
	if (mux->rst_count) {
		*ret = mux->rsts[mux->rst_first];
		mux->rst_first = (mux->rst_first + 1) % VSOCK_RST_QUEUE_MAX;
		mux->rst_count--;
		mux->counters.resets_sent++;
		return true;
	}
	if (list_empty(&mux->due))
		return false;
	struct vsock_conn *conn = container_of(list_first(&mux->due), struct vsock_conn, due_link);
	enum vsock_op op = conn_next_op(conn);

	*ret = conn_header(mux, conn, op);
	if (op == VSOCK_OP_SHUTDOWN)
		ret->flags = conn->host_shut;
	conn->due &= ~DUE(op);
	list_remove(&conn->due_link);
	if (conn->due)
		list_add_tail(&mux->due, &conn->due_link);
	if (op == VSOCK_OP_RST) {
		mux->counters.resets_sent++;
		conn_free(mux, conn);
	}
	return true;
}

bool vsock_mux_output_due(const struct vsock_mux *mux)
{
	return mux->rst_count || !list_empty(&mux->due);
}

bool vsock_mux_timed(const struct vsock_mux *mux)
{
	return !list_empty(&mux->timed);
}

struct vsock_result vsock_mux_expire(struct vsock_mux *mux, uint64_t now_ms)
{
	list_for_each (link, &mux->timed) {
		struct vsock_conn *conn = container_of(link, struct vsock_conn, timed_link);

		struct vsock_result result = {.action = VSOCK_ACT_ABORT, .user = conn->user};

		if (now_ms < conn->deadline_ms)
			continue;
		mux->counters.timeouts++;
		conn_end(mux, conn);
		return result;
	}
	return (struct vsock_result){.action = VSOCK_ACT_NONE};
}

int vsock_mux_connect(struct vsock_mux *mux, uint32_t guest_port, void *user, uint64_t now_ms,
		      struct vsock_conn **ret_conn)
{
	struct vsock_conn *conn;

	/* There are more ports than connections: a free one comes soon. */
	while (conn_find(mux, guest_port, mux->next_host_port))
		mux->next_host_port = VSOCK_HOST_PORT_FIRST |
				      ((mux->next_host_port + 1) & (VSOCK_HOST_PORT_FIRST - 1));
	int r = conn_new(mux, guest_port, mux->next_host_port, VSOCK_REQUESTED, &conn);

	if (r < 0)
		return r;
	mux->next_host_port = VSOCK_HOST_PORT_FIRST |
			      ((mux->next_host_port + 1) & (VSOCK_HOST_PORT_FIRST - 1));
	mux->counters.conns_out++;
	conn->user = user;
	conn_due(mux, conn, VSOCK_OP_REQUEST);
	conn_deadline(mux, conn, now_ms + VSOCK_REQUEST_TIMEOUT_MS);
	*ret_conn = conn;
	return 0;
}

void vsock_conn_accept(struct vsock_mux *mux, struct vsock_conn *conn)
{
	assert(conn->state == VSOCK_CONNECTING);
	conn->state = VSOCK_OPEN;
	conn_due(mux, conn, VSOCK_OP_RESPONSE);
}

void vsock_conn_reset(struct vsock_mux *mux, struct vsock_conn *conn)
{
	assert(conn->state < VSOCK_CLOSING);
	conn_end(mux, conn);
}

void vsock_conn_shut_send(struct vsock_mux *mux, struct vsock_conn *conn)
{
	assert(conn->state == VSOCK_OPEN);
	conn->host_shut |= VSOCK_SHUT_SEND;
	conn_due(mux, conn, VSOCK_OP_SHUTDOWN);
}

void vsock_conn_close(struct vsock_mux *mux, struct vsock_conn *conn, uint64_t now_ms)
{
	assert(conn->state == VSOCK_OPEN);
	conn->state = VSOCK_CLOSING;
	conn->user = NULL;
	conn->host_shut = VSOCK_SHUT_BOTH;
	conn_due(mux, conn, VSOCK_OP_SHUTDOWN);
	conn_deadline(mux, conn, now_ms + VSOCK_CLOSE_TIMEOUT_MS);
}

uint32_t vsock_conn_buffered(const struct vsock_conn *conn)
{
	return conn->received_cnt - conn->fwd_cnt;
}

void vsock_conn_consumed(struct vsock_mux *mux, struct vsock_conn *conn, uint32_t size)
{
	assert(size <= vsock_conn_buffered(conn));
	conn->fwd_cnt += size;
	if (conn->fwd_cnt - conn->fwd_told >= mux->buf_alloc / CREDIT_UPDATE_PART)
		conn_due(mux, conn, VSOCK_OP_CREDIT_UPDATE);
}

uint32_t vsock_conn_room(const struct vsock_conn *conn)
{
	uint32_t under_way = conn->sent_cnt - conn->guest_fwd_cnt;

	if (conn->state != VSOCK_OPEN || (conn->guest_shut & VSOCK_SHUT_RECEIVE) ||
	    (conn->host_shut & VSOCK_SHUT_SEND) || under_way > conn->guest_buf_alloc)
		return 0;
	/* The guest must have heard that it is connected before data comes. */
	if (conn->due & DUE(VSOCK_OP_RESPONSE))
		return 0;
	return conn->guest_buf_alloc - under_way;
}

void vsock_conn_ask_credit(struct vsock_mux *mux, struct vsock_conn *conn)
{
	if (conn->credit_asked)
		return;
	conn->credit_asked = true;
	conn_due(mux, conn, VSOCK_OP_CREDIT_REQUEST);
}

struct vsock_header vsock_conn_data(struct vsock_mux *mux, struct vsock_conn *conn, uint32_t size)
{
	assert(size > 0 && size <= vsock_conn_room(conn));
	struct vsock_header header = conn_header(mux, conn, VSOCK_OP_RW);

	header.size = size;
	conn->sent_cnt += size;
	/* The header carries our counters already. */
	conn->due &= ~DUE(VSOCK_OP_CREDIT_UPDATE);
	if (!conn->due)
		list_remove(&conn->due_link);
	return header;
}
