/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets as every module needs them: non-blocking, close-on-exec, and with one answer to stale
 * unix socket files. All fds returned are owned by the caller. */
#ifndef BASE_SOCK_H
#define BASE_SOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

/* Longest path that fits a sockaddr_un with its NUL: paths must be shorter than this. */
#define SOCK_PATH_MAX 108

int fd_set_nonblocking(int fd);
/* Closes *fd unless it is negative, and sets it to -1. */
void fd_close(int *fd);
/* Whether the file that `fd` is open on is still the one at `path`: what was locked may have been
 * removed, or another put in its place, before it was. */
bool fd_is_at(int fd, const char *path);

/* Listens on a unix socket (`type` is SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM, which is only
 * bound). A socket file nobody listens on is taken over; where something answers: -EADDRINUSE.
 * Anything else than a socket at the path: -EEXIST. Too long: -ENAMETOOLONG. */
int sock_listen_unix(const char *path, int type, int *ret_fd);
/* Connects, without waiting: returns 0 with *ret_fd connected or connecting (-EAGAIN: backlog
 * full). */
int sock_connect_unix(const char *path, int type, int *ret_fd);
/* Listens on TCP. AF_UNSPEC in `at` means all addresses, both families. Port 0 picks one; *ret_at,
 * if not NULL, gets the address as asked for with the port that it really is. */
int sock_listen_tcp(const struct endpoint *at, int backlog, int *ret_fd, struct endpoint *ret_at);
/* The same for UDP: a bound datagram socket. */
int sock_bind_udp(const struct endpoint *at, int *ret_fd, struct endpoint *ret_at);
/* Accepts one connection: non-blocking, close-on-exec. *ret_peer, if not NULL, is set for TCP.
 * -EAGAIN when there is none; transient errors of the connection itself are also -EAGAIN. */
int sock_accept(int listen_fd, int *ret_fd, struct endpoint *ret_peer);

#endif
