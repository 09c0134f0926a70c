/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked lists. An unlinked link points to itself, so that list_remove() may be
 * called on it at any time. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define container_of(POINTER, TYPE, MEMBER) ((TYPE *)((char *)(POINTER)-offsetof(TYPE, MEMBER)))

#define list_for_each(NODE, HEAD) \
	for (struct list *NODE = (HEAD)->next; NODE != (HEAD); NODE = NODE->next)

/* The body may remove NODE, and no other. */
#define list_for_each_safe(NODE, HEAD)                                                    \
	for (struct list *NODE = (HEAD)->next, *NODE##_next = NODE->next; NODE != (HEAD); \
	     NODE = NODE##_next, NODE##_next = NODE->next)

static inline void list_init(struct list *head)
{
	head->next = head->prev = head;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_add_head(struct list *head, struct list *node)
{
	list_add_tail(head->next, node);
}

static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

static inline struct list *list_first(const struct list *head)
{
	return list_empty(head) ? NULL : head->next;
}

/* Moves all of `from` to `to`, which must be empty or uninitialised; leaves `from` empty. */
static inline void list_take(struct list *to, struct list *from)
{
	if (list_empty(from)) {
		list_init(to);
		return;
	}
	*to = *from;
	to->next->prev = to;
	to->prev->next = to;
	list_init(from);
}

#endif
