/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where libevent gets its memory. It keeps a few bytes for every descriptor number that it has ever
 * seen, until the end; among the objects of connections that come and go, they would each hold a
 * page back from the host. They get pages of their own.
 */
#ifndef BASE_LOOP_MEMORY_H
#define BASE_LOOP_MEMORY_H

/* Tells libevent, before its first allocation; more than once is fine. */
void loop_memory_setup(void);

#endif
