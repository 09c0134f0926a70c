/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netproxy in gvproxy's place: called by that name, it takes gvproxy's flags and YAML
 * configuration, has its addresses and defaults, and does what is gvproxy's alone.
 *
 *	gvproxy_options.c    the command line, as Go's flag package reads it
 *	gvproxy_yaml.c       the configuration file
 *	gvproxy_translate.c  both, as netproxy's own options
 *	gvproxy_run.c        unix sockets that lead into the guest by ssh, and notifications
 */
#ifndef NETPROXY_GVPROXY_H
#define NETPROXY_GVPROXY_H

#include "base/loop.h"
#include "forwarder/forwarder.h"
#include "netproxy/options.h"

#define GVPROXY_FORWARDS_MAX 16

/* A unix socket of the host's that leads to one of the guest's, by ssh. */
struct gvproxy_forward {
	char socket[SOCK_PATH_MAX];
	char dest[SOCK_PATH_MAX];
	char user[OPTIONS_NAME_MAX];
	char identity[OPTIONS_PATH_MAX]; /* a private key's file */
};

/* What gvproxy's command line says beyond struct options. */
struct gvproxy_conf {
	struct gvproxy_forward forwards[GVPROXY_FORWARDS_MAX];
	unsigned forward_count;
	struct endpoint ssh;              /* where the guest's sshd is published */
	char notification[SOCK_PATH_MAX]; /* "": nobody is notified */
	bool debug;
};

/* Whether a program of that name is to be gvproxy. */
bool gvproxy_is_name(const char *argv0);

/* As options_parse(), for gvproxy's command line; sets ret_options->gvproxy. */
enum options_result gvproxy_options_parse(int argc, char **argv, struct options *ret_options,
					  char error[static OPTIONS_ERROR_MAX]);

struct gvproxy;

/* Starts what `conf` names, and says that the network is ready. `conf` and `forwarder` must outlive
 * it. Returns 0 or -errno. */
int gvproxy_new(struct loop *loop, const struct gvproxy_conf *conf, struct forwarder *forwarder,
		struct gvproxy **ret_gvproxy);
/* Ends ssh, and removes its sockets. NULL is fine. */
void gvproxy_free(struct gvproxy *gvproxy);

#endif
