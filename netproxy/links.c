/* SPDX-License-Identifier: Apache-2.0 */
/* Opens what --link and --vsock name; see links.h. */
#include "netproxy/links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/sock.h"
#include "netproxy/link_addresses.h"
#include "netproxy/options_private.h"
#include "netstack/link_connector.h"
#include "netstack/link_dgram.h"
#include "netstack/link_framed.h"
#include "netstack/link_listener.h"
#include "netstack/link_packet.h"
#include "netstack/link_tap.h"
#include "netstack/link_vhost.h"
#include "netstack/link_vpnkit.h"
#include "virtio/vsock.h"

/* What serves a --link; one of these. */
struct served {
	struct link_listener *listener;
	struct link_vhost_listener *vhost;
	struct link_dgram_listener *dgram;
	struct link_vpnkit_listener *vpnkit;
	struct link_connector *connector;
};

struct links {
	struct loop *loop;
	struct nswitch *sw;
	uint32_t mtu;
	struct served served[OPTIONS_LINKS_MAX];
	unsigned served_count;
	struct link_addresses addresses;
	struct link *stdio; /* while its end is ours, too */
	struct vsock_guest {
		struct links *links;
		struct vsock_device *device;
	} vsocks[OPTIONS_VSOCKS_MAX];
	unsigned vsock_count;
	links_guest_fn *on_guest;
	void *arg;
};

/* What to do about an error, where it isn't obvious. */
static const char *advice(int r)
{
	switch (-r) {
	case EADDRINUSE:
		return ": something answers there already; is another netproxy running?";
	case EEXIST:
		return ": there is something there that is no socket; choose another path or remove it";
	case ENAMETOOLONG:
		return ": a socket's path has at most 107 bytes";
	case ENOENT:
		return ": its directory must exist";
	default:
		return "";
	}
}

static int complain(char error[static OPTIONS_ERROR_MAX], const char *what, const char *where,
		    int r)
{
	snprintf(error, OPTIONS_ERROR_MAX, "%s %.300s: %s%s", what, where, strerror(-r), advice(r));
	return r;
}

static void attach(struct links *links, struct link *link)
{
	const struct link_sink *sink = switch_sink(links->sw);

	sink->attached(sink->arg, link);
}

static int open_tap(struct links *links, const struct link_option *option,
		    char error[static OPTIONS_ERROR_MAX])
{
	const char *why = "";
	struct link *link;
	int r = link_tap_open(links->loop, option->path, option->netns[0] ? option->netns : NULL,
			      &link, &why);

	if (r < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "--link tap:%.50s%s%.200s: %.150s: %s%s",
			 option->path, option->netns[0] ? ",netns=" : "", option->netns, why,
			 strerror(-r),
			 r == -EPERM ? ": a tap needs CAP_NET_ADMIN in its network namespace" : "");
		return r;
	}
	attach(links, link);
	return 0;
}

/* ---- Descriptors ---- */

static void on_stdio_ended(void *arg)
{
	struct links *links = arg;

	links->stdio = NULL;
	loop_stop(links->loop, 0);
}

/* A descriptor that nobody else uses, with `fd`, one of the standard ones, on /dev/null instead.
 * Returns it or -errno. */
static int take_standard(int fd)
{
	int ours = fcntl(fd, F_DUPFD_CLOEXEC, 3), null;

	if (ours < 0)
		return -errno;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, fd);
		close(null);
	}
	return ours;
}

static int open_stdio(struct links *links, bool is_only, char error[static OPTIONS_ERROR_MAX])
{
	struct link_framed_conf conf = {
		.framing = FRAMING_LE16,
		.name = "stdio",
		.fd = take_standard(STDIN_FILENO),
		.out_fd = take_standard(STDOUT_FILENO),
	};
	struct link *link;
	int r = conf.fd < 0 ? conf.fd : conf.out_fd < 0 ? conf.out_fd : 0;

	if (r == 0) {
		r = link_framed_new(links->loop, &conf, &link);
	} else {
		fd_close(&conf.fd);
		fd_close(&conf.out_fd);
	}
	if (r < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "--link stdio: %s%s", strerror(-r),
			 r == -EPERM ? ": expected pipes or sockets, no files" : "");
		return r;
	}
	if (is_only) {
		links->stdio = link;
		link->ended = on_stdio_ended;
		link->ended_arg = links;
	}
	attach(links, link);
	return 0;
}

/* What a descriptor most likely is. */
static enum link_option_framing guess_framing(int fd)
{
	socklen_t size = sizeof(int);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return LINK_FRAMING_TAP;
	return type == SOCK_DGRAM       ? LINK_FRAMING_DGRAM
	       : type == SOCK_SEQPACKET ? LINK_FRAMING_SEQPACKET
					: LINK_FRAMING_QEMU;
}

/* Takes the descriptor over. */
static int open_framing(struct links *links, int fd, enum link_option_framing framing,
			const char *name, const char **ret_why)
{
	const struct link_sink *sink = switch_sink(links->sw);
	struct link *link;
	int r;

	switch (framing) {
	case LINK_FRAMING_DGRAM:
	case LINK_FRAMING_SEQPACKET:
		return link_packet_open(links->loop, fd, name, sink);
	case LINK_FRAMING_TAP:
		r = link_tap_adopt(links->loop, fd, name, &link, ret_why);
		if (r == 0)
			attach(links, link);
		return r;
	default:
		return link_framed_open(links->loop, fd,
					framing == LINK_FRAMING_LE16 ? FRAMING_LE16 : FRAMING_QEMU,
					NULL, 0, name, sink);
	}
}

static int open_fd(struct links *links, const struct link_option *option,
		   char error[static OPTIONS_ERROR_MAX])
{
	enum link_option_framing framing = option->framing;
	const char *why = "";
	char name[32];
	int r = 0;

	snprintf(name, sizeof(name), "fd:%d", option->fd);
	if (fcntl(option->fd, F_SETFD, FD_CLOEXEC) < 0)
		r = -errno;
	if (r == 0 && framing == LINK_FRAMING_GUESS)
		framing = guess_framing(option->fd);
	if (r == 0)
		r = open_framing(links, option->fd, framing, name, &why);
	if (r < 0)
		snprintf(error, OPTIONS_ERROR_MAX, "--link %s: %s%s%s%s", name, why,
			 why[0] ? ": " : "", strerror(-r),
			 r == -EBADF      ? ": expected a descriptor that netproxy was started with"
			 : r == -ENOTSOCK ? ": expected a socket"
					  : "");
	return r;
}

/* ---- Sockets ---- */

static int listen_dgram(struct links *links, const struct link_option *option,
			struct served *served)
{
	struct link_dgram_conf conf = {
		.kind = option->kind == LINK_OPTION_VFKIT ? "vfkit" : "dgram",
		.path = option->path,
		.remote = option->remote[0] ? option->remote : NULL,
		.vfkit = option->kind == LINK_OPTION_VFKIT,
		.mtu = links->mtu,
		.sink = switch_sink(links->sw),
	};

	return link_dgram_listen(links->loop, &conf, &served->dgram);
}

static int listen_vpnkit(struct links *links, const struct link_option *option,
			 struct served *served)
{
	struct link_vpnkit_conf conf = {
		.path = option->path,
		.mtu = links->mtu,
		.sink = switch_sink(links->sw),
		.prefer = link_addresses_prefer,
		.arg = &links->addresses,
	};

	return link_vpnkit_listen(links->loop, &conf, &served->vpnkit);
}

/* Those that wait for guests, or for QEMU. */
static int serve(struct links *links, const struct link_option *option, struct served *served)
{
	const struct link_sink *sink = switch_sink(links->sw);
	struct loop *loop = links->loop;

	switch (option->kind) {
	case LINK_OPTION_QEMU_UNIX:
		return link_listen_qemu_unix(loop, option->path, sink, &served->listener);
	case LINK_OPTION_QEMU_TCP:
		return link_listen_qemu_tcp(loop, &option->at, sink, &served->listener);
	case LINK_OPTION_BESS:
		return link_listen_bess(loop, option->path, sink, &served->listener);
	case LINK_OPTION_QEMU_CONNECT_UNIX:
		return link_connector_new(loop, option->path, NULL, sink, &served->connector);
	case LINK_OPTION_QEMU_CONNECT_TCP:
		return link_connector_new(loop, NULL, &option->at, sink, &served->connector);
	case LINK_OPTION_VHOST:
		return link_vhost_listen(loop, option->path, sink, &served->vhost);
	case LINK_OPTION_DGRAM:
	case LINK_OPTION_VFKIT:
		return listen_dgram(links, option, served);
	case LINK_OPTION_VPNKIT:
		return listen_vpnkit(links, option, served);
	default:
		return -EINVAL;
	}
}

static int open_link(struct links *links, const struct options *options, unsigned index,
		     char error[static OPTIONS_ERROR_MAX])
{
	const struct link_option *option = &options->links[index];
	static char name[LINK_TEXT_MAX];
	int r;

	switch (option->kind) {
	case LINK_OPTION_TAP:
		return open_tap(links, option, error);
	case LINK_OPTION_FD:
		return open_fd(links, option, error);
	case LINK_OPTION_STDIO:
		return open_stdio(links, options->link_count == 1 && options->vsock_count == 0,
				  error);
	default:
		break;
	}
	r = serve(links, option, &links->served[links->served_count]);
	if (r < 0) {
		options_link_name(option, name);
		return complain(error, "--link", name, r);
	}
	links->served_count++;
	return 0;
}

/* ---- vsock devices ---- */

static void on_vsock_event(void *arg, enum vsock_guest_event event)
{
	struct vsock_guest *guest = arg;
	struct links *links = guest->links;

	links->on_guest(links->arg, (uint32_t)(guest - links->vsocks) + 1, event);
}

static int open_vsock(struct links *links, struct loop *loop, const struct vsock_option *option,
		      char error[static OPTIONS_ERROR_MAX])
{
	struct vsock_guest *guest = &links->vsocks[links->vsock_count];
	struct vsock_conf conf = {
		.socket_path = option->path,
		.guest_cid = option->cid,
		.on_guest = on_vsock_event,
		.on_guest_arg = guest,
	};
	char why[256] = "";
	int r = vsock_device_new(loop, &conf, &guest->device, why, sizeof(why));

	if (r < 0) {
		snprintf(error, OPTIONS_ERROR_MAX, "--vsock %.108s: %s", option->path,
			 why[0] ? why : strerror(-r));
		return r;
	}
	guest->links = links;
	links->vsock_count++;
	return 0;
}

int links_new(struct loop *loop, const struct options *options, struct nswitch *sw,
	      struct dhcp_server *dhcp, links_guest_fn *on_guest, void *arg,
	      char error[static OPTIONS_ERROR_MAX], struct links **ret_links)
{
	struct links *links = calloc(1, sizeof(*links));
	int r = 0;

	if (!links) {
		snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
		return -ENOMEM;
	}
	links->loop = loop;
	links->sw = sw;
	links->mtu = options->mtu;
	links->addresses.loop = loop;
	links->addresses.dhcp = dhcp;
	links->on_guest = on_guest;
	links->arg = arg;
	for (unsigned i = 0; r == 0 && i < options->link_count; i++)
		r = open_link(links, options, i, error);
	for (unsigned i = 0; r == 0 && i < options->vsock_count; i++)
		r = open_vsock(links, loop, &options->vsocks[i], error);
	if (r < 0) {
		links_free(links);
		return r;
	}
	*ret_links = links;
	return 0;
}

void links_free(struct links *links)
{
	if (!links)
		return;
	for (unsigned i = 0; i < links->served_count; i++) {
		link_listener_free(links->served[i].listener);
		link_vhost_listener_free(links->served[i].vhost);
		link_dgram_listener_free(links->served[i].dgram);
		link_vpnkit_listener_free(links->served[i].vpnkit);
		link_connector_free(links->served[i].connector);
	}
	if (links->stdio)
		links->stdio->ended = NULL;
	for (unsigned i = 0; i < links->vsock_count; i++)
		vsock_device_free(links->vsocks[i].device);
	free(links);
}
