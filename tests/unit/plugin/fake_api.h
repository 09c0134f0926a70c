/* SPDX-License-Identifier: Apache-2.0 */
/* A netproxy API for tests: a thread on a socket that keeps a list of forwards as the real one
 * does, can be told to misbehave, and remembers what it was asked. */
#ifndef TESTS_FAKE_API_H
#define TESTS_FAKE_API_H

#define FAKE_API_FORWARDS_MAX 32
#define FAKE_API_LOG_MAX      8192

enum fake_api_mode {
	FAKE_API_WORKS,
	FAKE_API_SILENT,   /* takes a request and never answers */
	FAKE_API_GARBAGE,  /* answers something that isn't HTTP */
	FAKE_API_CLOSES,   /* closes without an answer */
	FAKE_API_NOT_JSON, /* answers 200 with a body that isn't JSON */
	FAKE_API_CHUNKED,  /* works, with bodies in chunks, a byte at a time */
};

struct fake_api;

struct fake_api *fake_api_start(const char *path, enum fake_api_mode mode);
/* The same on TCP, on 127.0.0.1 at a port that is picked. */
struct fake_api *fake_api_start_tcp(enum fake_api_mode mode, unsigned *ret_port);
/* Refuses to expose this local address, as if another program had it. Borrowed. */
void fake_api_refuse(struct fake_api *api, const char *local);
/* A forward that somebody else made. */
void fake_api_add(struct fake_api *api, const char *local, const char *protocol);
/* One line per request: "POST /services/forwarder/expose BODY\n". Valid until fake_api_stop(). */
const char *fake_api_log(struct fake_api *api);
/* The forwards there are, in order, as "tcp :8080 " and so on. */
const char *fake_api_forwards(struct fake_api *api);
void fake_api_stop(struct fake_api *api);

#endif
