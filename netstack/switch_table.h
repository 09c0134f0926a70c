/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch's learning table: which MAC was last seen on which port (theory in switch.h). Pure:
 * the time is an argument. All memory but the hash map's buckets is taken when it is made, so a
 * guest's frames never allocate.
 */
#ifndef NETSTACK_SWITCH_TABLE_H
#define NETSTACK_SWITCH_TABLE_H

#include <stdint.h>

#include "base/addr.h"

struct switch_table;

/* For up to `entries_max` addresses on ports 1 to `ports_max`, forgotten `age_ms` after they were
 * last seen. Returns 0 or -ENOMEM. */
int switch_table_new(unsigned entries_max, unsigned ports_max, uint64_t age_ms,
		     struct switch_table **ret_table);
void switch_table_free(struct switch_table *table);

/* A frame from `mac` came in by `port`. When the table is full, the entry seen longest ago of the
 * port with the most entries makes room. */
void switch_table_learn(struct switch_table *table, const struct mac *mac, unsigned port,
			uint64_t now_ms);
/* The port of `mac`, or 0. */
unsigned switch_table_lookup(struct switch_table *table, const struct mac *mac, uint64_t now_ms);
void switch_table_forget_port(struct switch_table *table, unsigned port);

/* Visits addresses that have not aged, in the order of ports; `fn` must not change the table. */
void switch_table_for_each(const struct switch_table *table, uint64_t now_ms,
			   void (*fn)(void *arg, const struct mac *mac, unsigned port), void *arg);

/* Entries in the table, aged ones that nobody asked for included. */
unsigned switch_table_count(const struct switch_table *table);

#endif
