/* SPDX-License-Identifier: Apache-2.0 */
/* The server's side of VMN3T: see link_vpnkit.h. */
#include "netstack/link_vpnkit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/log.h"
#include "base/sock.h"
#include "netstack/link_framed.h"
#include "netstack/link_listener.h"
#include "netstack/vmnet_wire.h"

LOG_MODULE("link");

struct link_vpnkit_listener {
	struct loop *loop;
	struct link_vpnkit_conf conf; /* without the path, which is borrowed */
	struct link_listener *listener;
	struct list handshakes;
	unsigned handshake_count;
	struct list clients;
};

/* A connection until its guest is known. */
struct handshake {
	struct link_vpnkit_listener *listener;
	struct list in_handshakes;
	int fd;
	struct loop_fd *watch;
	struct loop_timer *timeout;
	bool greeted; /* the hellos have been said: the command is next */
	uint8_t bytes[VMNET_HELLO_SIZE];
	size_t size;
	char name[LINK_NAME_MAX];
};

/* A guest whose link is there. */
struct client {
	struct list in_clients;
	struct link *link;
	char uuid[VMNET_UUID_SIZE + 1];
};

/* ---- Guests ---- */

static void on_link_ended(void *arg)
{
	struct client *client = arg;

	list_remove(&client->in_clients);
	free(client);
}

static void end_client(struct link_vpnkit_listener *listener, const char *uuid)
{
	list_for_each_safe (node, &listener->clients) {
		struct client *client = container_of(node, struct client, in_clients);

		if (strcmp(client->uuid, uuid) == 0)
			link_framed_end(client->link, "replaced: its UUID connected again");
	}
}

/* Takes the descriptor over. */
static int client_new(struct link_vpnkit_listener *listener, int fd, const char *name,
		      const char *uuid)
{
	struct link_framed_conf conf = {
		.framing = FRAMING_LE16,
		.name = name,
		.fd = fd,
		.out_fd = -1,
	};
	struct client *client = calloc(1, sizeof(*client));
	int status;

	if (!client) {
		fd_close(&fd);
		return -ENOMEM;
	}
	status = link_framed_new(listener->loop, &conf, &client->link);
	if (status < 0) {
		free(client);
		return status;
	}
	strcpy(client->uuid, uuid);
	list_add_tail(&listener->clients, &client->in_clients);
	client->link->ended = on_link_ended;
	client->link->ended_arg = client;
	listener->conf.sink->attached(listener->conf.sink->arg, client->link);
	return 0;
}

/* ---- Introductions ---- */

static void handshake_free(struct handshake *handshake)
{
	list_remove(&handshake->in_handshakes);
	handshake->listener->handshake_count--;
	loop_timer_free(handshake->timeout);
	loop_fd_free(handshake->watch);
	fd_close(&handshake->fd);
	free(handshake);
}

static void give_up(struct handshake *handshake, const char *why)
{
	log_limited(LOG_LEVEL_WARN, "%s: not attached: %s", handshake->name, why);
	handshake_free(handshake);
}

static void on_timeout(void *arg)
{
	give_up(arg, "it took more than 10 s to introduce itself");
}

/* The socket is new, and takes all there ever is to say at once. */
static bool say(const struct handshake *handshake, const uint8_t *bytes, size_t size)
{
	return send(handshake->fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void refuse(struct handshake *handshake, const char *text)
{
	uint8_t answer[VMNET_ANSWER_SIZE];

	vmnet_refusal_write(answer, text);
	say(handshake, answer, sizeof(answer));
	give_up(handshake, text);
}

static void on_hello(struct handshake *handshake)
{
	uint8_t ours[VMNET_HELLO_SIZE];
	uint32_t version;

	if (vmnet_hello_read(handshake->bytes, &version) < 0) {
		give_up(handshake, "it doesn't speak VMN3T");
		return;
	}
	vmnet_hello_write(ours);
	if (!say(handshake, ours, sizeof(ours)))
		give_up(handshake, "it doesn't listen");
	else if (version != VMNET_VERSION)
		give_up(handshake, "it speaks another version of VMN3T than 22");
	else
		handshake->greeted = true;
}

/* Keeps the address that the guest wishes. Returns whether it can have it. */
static bool prefer(struct handshake *handshake, const struct mac *mac, const struct addr *preferred)
{
	const struct link_vpnkit_conf *conf = &handshake->listener->conf;
	char address[ADDR_TEXT_MAX], text[128];
	int status = conf->prefer(conf->arg, mac, preferred);

	switch (status) {
	case 0:
		return true;
	case -EADDRINUSE:
		snprintf(text, sizeof(text), "Preferred IP address %s already used.",
			 addr_format(preferred, address));
		break;
	case -ERANGE:
		snprintf(text, sizeof(text), "Preferred IP address out of range.");
		break;
	default:
		snprintf(text, sizeof(text), "Preferred IP address not available: %s.",
			 strerror(-status));
	}
	refuse(handshake, text);
	return false;
}

static void on_command(struct handshake *handshake)
{
	struct link_vpnkit_listener *listener = handshake->listener;
	uint8_t answer[VMNET_ANSWER_SIZE];
	struct vmnet_command command;
	struct mac mac;
	int fd, status = vmnet_command_read(handshake->bytes, &command);

	if (status < 0) {
		refuse(handshake, status == -EINVAL ? "Expected a UUID of 36 characters."
						    : "Unknown command.");
		return;
	}
	mac = vmnet_mac(command.uuid);
	if (command.preferred.family != AF_UNSPEC && !prefer(handshake, &mac, &command.preferred))
		return;
	vmnet_answer_write(answer, listener->conf.mtu, &mac);
	if (!say(handshake, answer, sizeof(answer))) {
		give_up(handshake, "it doesn't listen");
		return;
	}
	end_client(listener, command.uuid);
	loop_fd_free(handshake->watch);
	handshake->watch = NULL;
	fd = handshake->fd;
	handshake->fd = -1;
	status = client_new(listener, fd, handshake->name, command.uuid);
	if (status < 0)
		give_up(handshake, strerror(-status));
	else
		handshake_free(handshake);
}

static void on_readable(void *arg, int fd, unsigned ready)
{
	struct handshake *handshake = arg;
	size_t want = handshake->greeted ? VMNET_COMMAND_SIZE : VMNET_HELLO_SIZE;
	/* Not a byte more: frames follow. */
	ssize_t got = recv(fd, handshake->bytes + handshake->size, want - handshake->size, 0);

	(void)ready;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		give_up(handshake, "it closed before it had introduced itself");
		return;
	}
	handshake->size += (size_t)got;
	if (handshake->size < want)
		return;
	handshake->size = 0;
	if (handshake->greeted)
		on_command(handshake);
	else
		on_hello(handshake);
}

static int on_accepted(void *arg, struct loop *loop, int fd, const char *name)
{
	struct link_vpnkit_listener *listener = arg;
	struct handshake *handshake = NULL;
	int status;

	if (listener->handshake_count < LINK_VPNKIT_HANDSHAKES_MAX)
		handshake = calloc(1, sizeof(*handshake));
	if (!handshake) {
		status = listener->handshake_count < LINK_VPNKIT_HANDSHAKES_MAX ? -ENOMEM : -EBUSY;
		fd_close(&fd);
		return status;
	}
	handshake->listener = listener;
	handshake->fd = fd;
	snprintf(handshake->name, sizeof(handshake->name), "%s", name);
	list_add_tail(&listener->handshakes, &handshake->in_handshakes);
	listener->handshake_count++;
	status = loop_timer_new(loop, on_timeout, handshake, &handshake->timeout);
	if (status == 0)
		status = loop_fd_new(loop, fd, LOOP_READ, on_readable, handshake,
				     &handshake->watch);
	if (status < 0)
		handshake_free(handshake);
	else
		loop_timer_set(handshake->timeout, LINK_VPNKIT_HANDSHAKE_MS);
	return status;
}

/* ---- Listeners ---- */

int link_vpnkit_listen(struct loop *loop, const struct link_vpnkit_conf *conf,
		       struct link_vpnkit_listener **ret_listener)
{
	struct link_vpnkit_listener *listener = calloc(1, sizeof(*listener));
	struct link_listener_conf listening = {"vpnkit", on_accepted, listener};
	int status;

	if (!listener)
		return -ENOMEM;
	listener->loop = loop;
	listener->conf = *conf;
	listener->conf.path = NULL;
	list_init(&listener->handshakes);
	list_init(&listener->clients);
	status = link_listen_unix(loop, conf->path, SOCK_STREAM, &listening, &listener->listener);
	if (status < 0) {
		free(listener);
		return status;
	}
	*ret_listener = listener;
	return 0;
}

void link_vpnkit_listener_free(struct link_vpnkit_listener *listener)
{
	struct list *node;

	if (!listener)
		return;
	link_listener_free(listener->listener);
	while ((node = list_first(&listener->handshakes)) != NULL)
		handshake_free(container_of(node, struct handshake, in_handshakes));
	while ((node = list_first(&listener->clients)) != NULL) {
		struct client *client = container_of(node, struct client, in_clients);

		client->link->ended = NULL;
		list_remove(node);
		free(client);
	}
	free(listener);
}
