/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent looks no names up. An object of libevent's that it needs for other things refers to the
 * resolver all the same, and linked statically would bring glibc's, which loads shared libraries of
 * the glibc that it was built with: in a guest of another distribution there are none. These take
 * its place.
 */
#include <netdb.h>
#include <stddef.h>

int getaddrinfo(const char *restrict node, const char *restrict service,
		const struct addrinfo *restrict hints, struct addrinfo **restrict ret)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)ret;
	return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *list)
{
	(void)list;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
	(void)name;
	(void)protocol;
	return NULL;
}

struct protoent *getprotobynumber(int number)
{
	(void)number;
	return NULL;
}
