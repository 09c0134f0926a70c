/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive lists. */
#include "base/list.h"

#include "unit.h"

struct item {
	struct list link;
	int value;
};

static struct item items[3] = {{.value = 0}, {.value = 1}, {.value = 2}};

static void make(struct list *head)
{
	list_init(head);
	for (int i = 0; i < 3; i++)
		list_add_tail(head, &items[i].link);
}

static void assert_values(struct list *head, const int *values, int count)
{
	int i = 0;

	list_for_each (node, head) {
		ck_assert_int_lt(i, count);
		ck_assert_int_eq(container_of(node, struct item, link)->value, values[i++]);
	}
	ck_assert_int_eq(i, count);
	list_for_each (node, head)
		ck_assert_ptr_eq(node->next->prev, node);
}

START_TEST(order)
{
	struct list head;

	list_init(&head);
	ck_assert(list_empty(&head));
	ck_assert_ptr_null(list_first(&head));
	list_add_tail(&head, &items[1].link);
	list_add_tail(&head, &items[2].link);
	list_add_head(&head, &items[0].link);
	assert_values(&head, (int[]){0, 1, 2}, 3);
	ck_assert_ptr_eq(list_first(&head), &items[0].link);
}
END_TEST

START_TEST(removal)
{
	struct list head;

	make(&head);
	list_remove(&items[1].link);
	list_remove(&items[1].link);
	assert_values(&head, (int[]){0, 2}, 2);
	list_for_each_safe (node, &head)
		list_remove(node);
	ck_assert(list_empty(&head));
}
END_TEST

START_TEST(take)
{
	struct list head;
	struct list to;

	make(&head);
	list_take(&to, &head);
	ck_assert(list_empty(&head));
	assert_values(&to, (int[]){0, 1, 2}, 3);
	list_take(&to, &head);
	ck_assert(list_empty(&to));
}
END_TEST

int main(void)
{
	return unit_main("list", NULL, NULL, (const TTest *[]){order, removal, take, NULL});
}
