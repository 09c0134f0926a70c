/* SPDX-License-Identifier: Apache-2.0 */
/* What lwIP wants to know of its platform. */
#ifndef NETSTACK_LWIP_ARCH_CC_H
#define NETSTACK_LWIP_ARCH_CC_H

#include <stdio.h>
#include <stdlib.h>

#define LWIP_ERRNO_STDINCLUDE 1
#define LWIP_TIMEVAL_PRIVATE  0
#include <sys/time.h>

#define LWIP_PLATFORM_DIAG(MESSAGE) ((void)0)

/* lwIP's assertions are about its own state; a broken one is a bug, and going on would be worse. */
#define LWIP_PLATFORM_ASSERT(MESSAGE)                                                     \
	do {                                                                              \
		fprintf(stderr, "lwIP assertion failed: %s (%s:%d)\n", MESSAGE, __FILE__, \
			__LINE__);                                                        \
		abort();                                                                  \
	} while (0)

#endif
