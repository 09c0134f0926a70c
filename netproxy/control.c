#include "netproxy/control.h"
int control_new(struct loop *loop, const struct options *options, struct forwarder *forwarder,
		struct publish *publish, struct services *services,
		char error[static OPTIONS_ERROR_MAX], struct control **ret_control)
{
	(void)loop;
	(void)options;
	(void)forwarder;
	(void)publish;
	(void)services;
	(void)error;
	*ret_control = 0;
	return 0;
}
void control_free(struct control *control)
{
	(void)control;
}
