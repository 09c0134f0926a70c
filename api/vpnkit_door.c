/* SPDX-License-Identifier: Apache-2.0 */
/* The connections of VPNKit's port control, and what its forwards are here; see vpnkit_door.h. */
#include "api/vpnkit_door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/vpnkit_ports.h"
#include "base/list.h"
#include "base/log.h"
#include "forwarder/publish_spec.h"
#include "p9/p9_message.h"

LOG_MODULE("vpnkit");

/* Numbers of leases that the API's own doors never give. */
#define LEASES_FROM (UINT64_C(1) << 63)
/* Messages of one client that are served before others have their turn. */
#define MESSAGES_PER_ROUND 64

struct vpnkit_door {
	struct loop *loop;
	struct api_backend backend;
	struct api_door conf;
	struct list clients;
	unsigned client_count;
	int listen_fd;
	struct loop_fd *watch;
	char path[SOCK_PATH_MAX];
	dev_t device; /* with inode: the file that is ours to remove */
	ino_t inode;
};

struct client {
	struct list in_door;
	struct vpnkit_door *door;
	int fd;
	struct loop_fd *watch;
	struct loop_task more; /* there are messages left that have come already */
	struct vpnkit_ports *ports;
	size_t in_size;
	size_t out_size;
	size_t out_sent;
	uint8_t in[VPNKIT_MESSAGE_MAX];
	uint8_t out[VPNKIT_MESSAGE_MAX];
};

/* All doors' together: a lease is one forward's, and its number is never used again. */
static uint64_t leases_given;

/* ---- Forwards ---- */

static struct publish_owner owner_of(const struct vpnkit_door *door, uint64_t lease)
{
	bool is_guest = door->conf.kind == API_DOOR_GUEST;

	return (struct publish_owner){
		.kind = is_guest ? PUBLISH_OWNER_GUEST : PUBLISH_OWNER_HOST,
		.id = is_guest ? door->conf.guest_id : 0,
		.lease = lease,
	};
}

/* A guest publishes its own ports only. */
static bool may_publish(const struct vpnkit_door *door, const struct addr *addr)
{
	const struct api_backend *backend = &door->backend;
	struct addr own;

	if (door->conf.kind != API_DOOR_GUEST)
		return true;
	if (backend->guest_addr(backend->arg, door->conf.guest_id, &own) == 0 &&
	    addr_equal(&own, addr))
		return true;
	return backend->guest_owns && backend->guest_owns(backend->arg, door->conf.guest_id, addr);
}

/* In VPNKit's words where it has them. */
static void explain(const struct publish_spec *spec, const struct publish_failure *failure,
		    int error, char to[static VPNKIT_ERROR_MAX])
{
	char at[ENDPOINT_TEXT_MAX];

	endpoint_format(&spec->local, at);
	if (error == EADDRINUSE || error == EEXIST)
		snprintf(to, VPNKIT_ERROR_MAX, "Bind for %s failed: port is already allocated", at);
	else if (error == EADDRNOTAVAIL)
		snprintf(to, VPNKIT_ERROR_MAX, "Bind for %s failed: no such address", at);
	else if (error == EACCES)
		snprintf(to, VPNKIT_ERROR_MAX, "Bind for %s failed: permission denied", at);
	else if (error == EHOSTUNREACH)
		snprintf(to, VPNKIT_ERROR_MAX, "no VM is at %s",
			 endpoint_format(&spec->remote, at));
	else
		snprintf(to, VPNKIT_ERROR_MAX, "%.*s", 80,
			 failure->why[0] ? failure->why : strerror(error));
}

static int start_forward(void *arg, struct publish_spec *spec, uint64_t *ret_number,
			 char error[static VPNKIT_ERROR_MAX])
{
	const struct client *client = arg;
	struct publish_failure failure = {0};
	char addr[ADDR_TEXT_MAX];
	int r;

	if (!may_publish(client->door, &spec->remote.addr)) {
		snprintf(error, VPNKIT_ERROR_MAX, "%s is not this VM's address",
			 addr_format(&spec->remote.addr, addr));
		return -EPERM;
	}
	spec->owner = owner_of(client->door, LEASES_FROM + ++leases_given);
	r = publish_add(client->door->backend.publish, spec, 1, 0, &failure);
	if (r < 0)
		explain(spec, &failure, -r, error);
	else
		*ret_number = spec->owner.lease;
	return r;
}

static void stop_forward(void *arg, uint64_t number)
{
	const struct client *client = arg;
	struct publish_owner owner = owner_of(client->door, number);

	publish_remove_owner(client->door->backend.publish, &owner);
}

static const struct vpnkit_ports_ops ops = {.start = start_forward, .stop = stop_forward};

/* ---- Clients ---- */

static void client_free(struct client *client)
{
	loop_task_cancel(client->door->loop, &client->more);
	vpnkit_ports_free(client->ports);
	loop_fd_free(client->watch);
	fd_close(&client->fd);
	list_remove(&client->in_door);
	client->door->client_count--;
	free(client);
}

/* Sends what waits. Returns false when the client has gone. */
static bool send_reply(struct client *client)
{
	while (client->out_sent < client->out_size) {
		ssize_t n = send(client->fd, client->out + client->out_sent,
				 client->out_size - client->out_sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		client->out_sent += (size_t)n;
	}
	client->out_size = client->out_sent = 0;
	return true;
}

/* Serves the first message, if it is there as a whole. Returns 1, 0 when there is none, or -EBADMSG
 * when the client is to go. */
static int serve_message(struct client *client)
{
	uint32_t size;

	if (client->in_size < P9_HEADER)
		return 0;
	size = p9_message_size(client->in);
	if (size < P9_HEADER || size > sizeof(client->in))
		return -EBADMSG;
	if (size > client->in_size)
		return 0;
	client->out_size = vpnkit_ports_serve(client->ports, client->in, size, client->out);
	client->in_size -= size;
	memmove(client->in, client->in + size, client->in_size);
	return client->out_size ? 1 : -EBADMSG;
}

/* Answers what has come, one message after the other; while a reply waits nothing is read. Returns
 * false when the client has to go. */
static bool serve(struct client *client)
{
	int served = 0, r = 1;

	while (r > 0 && served < MESSAGES_PER_ROUND) {
		if (!send_reply(client))
			return false;
		if (client->out_size)
			break;
		r = serve_message(client);
		served += r > 0;
	}
	if (r < 0)
		return false;
	if (!send_reply(client))
		return false;
	if (r > 0 && !client->out_size)
		loop_task_schedule(client->door->loop, &client->more);
	return loop_fd_set(client->watch, client->out_size ? LOOP_WRITE : LOOP_READ) == 0;
}

static void on_more(void *arg)
{
	struct client *client = arg;

	if (!serve(client))
		client_free(client);
}

/* Returns false when the client has gone. */
static bool receive(struct client *client)
{
	size_t room = sizeof(client->in) - client->in_size;
	ssize_t n;

	/* There is always room: the buffer holds a whole message, and those are served. */
	if (room == 0)
		return true;
	n = recv(client->fd, client->in + client->in_size, room, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client->in_size += (size_t)n;
	return n > 0;
}

static void on_client(void *arg, int fd, unsigned ready)
{
	struct client *client = arg;

	(void)fd;
	if (((ready & LOOP_READ) && !receive(client)) || !serve(client))
		client_free(client);
}

static unsigned clients_max(const struct vpnkit_door *door)
{
	return door->conf.kind == API_DOOR_GUEST ? VPNKIT_GUEST_CLIENTS_MAX
						 : VPNKIT_HOST_CLIENTS_MAX;
}

static int client_new(struct vpnkit_door *door, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	int r;

	if (!client) {
		fd_close(&fd);
		return -ENOMEM;
	}
	client->door = door;
	client->fd = fd;
	client->more = (struct loop_task){.fn = on_more, .arg = client};
	list_add_tail(&door->clients, &client->in_door);
	door->client_count++;
	r = vpnkit_ports_new(&ops, client, &client->ports);
	if (r == 0)
		r = loop_fd_new(door->loop, fd, LOOP_READ, on_client, client, &client->watch);
	if (r < 0)
		client_free(client);
	return r;
}

static void on_accept(void *arg, int listen_fd, unsigned ready)
{
	struct vpnkit_door *door = arg;
	int fd;
	int r;

	(void)ready;
	if (sock_accept(listen_fd, &fd, NULL) < 0)
		return;
	if (door->client_count >= clients_max(door)) {
		log_limited(LOG_LEVEL_WARN, "%s has %u clients already: another is turned away",
			    door->path, door->client_count);
		fd_close(&fd);
		return;
	}
	r = client_new(door, fd);
	if (r < 0)
		log_limited(LOG_LEVEL_WARN, "a client of %s can't be served: %s", door->path,
			    strerror(-r));
}

/* ---- Life ---- */

int vpnkit_door_new(struct loop *loop, const struct api_backend *backend,
		    const struct api_door *conf, const char *path, struct vpnkit_door **ret_door)
{
	struct vpnkit_door *door = calloc(1, sizeof(*door));
	struct stat st;
	int r;

	if (!door)
		return -ENOMEM;
	door->loop = loop;
	door->backend = *backend;
	door->conf = *conf;
	door->listen_fd = -1;
	list_init(&door->clients);
	r = sock_listen_unix(path, SOCK_STREAM, &door->listen_fd);
	if (r == 0) {
		snprintf(door->path, sizeof(door->path), "%s", path);
		if (lstat(path, &st) == 0) {
			door->device = st.st_dev;
			door->inode = st.st_ino;
		}
		r = loop_fd_new(loop, door->listen_fd, LOOP_READ, on_accept, door, &door->watch);
	}
	if (r < 0)
		vpnkit_door_free(door);
	else
		*ret_door = door;
	return r;
}

void vpnkit_door_free(struct vpnkit_door *door)
{
	struct list *node;
	struct stat st;

	if (!door)
		return;
	while ((node = list_first(&door->clients)))
		client_free(container_of(node, struct client, in_door));
	loop_fd_free(door->watch);
	fd_close(&door->listen_fd);
	/* Somebody else's by now, perhaps. */
	if (door->path[0] && lstat(door->path, &st) == 0 && st.st_dev == door->device &&
	    st.st_ino == door->inode)
		unlink(door->path);
	free(door);
}
