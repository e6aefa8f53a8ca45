/*
 * Connections that come while the tunnel's thread is busy. The agent's link is a fake in this
 * program, whose flush is what the thread does last before it waits again.
 */
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "common/sandbox/tunnel.h"
#include "tests/unit/suite.h"
#include "thread.h"

#define PATIENCE (10 * USEC_PER_SEC)
#define COUNT	 20 /* of connections */

static struct {
	struct mutex lock;
	struct cond changed;
	struct tunnel *tunnel;
	/* guarded by lock */
	size_t to_come; /* connections that are made while the thread flushes */
	size_t dialed;
	int ours[COUNT]; /* ends of connections */
	size_t made;
} g;
static int g_link_fd; /* never readable: the agent says nothing */

int agent_link_send(unused_arg struct agent_link *l, enum frame_type type,
		    unused_arg unsigned flags, unused_arg uint32_t run, const void *data,
		    size_t len, unused_arg usec_t deadline, unused_arg struct err *err)
{
	struct frame_cursor c = {.data = data, .left = len};

	(void)frame_get_u32(&c);
	if (type != FRAME_CHANNEL_DIAL || frame_get_u32(&c) == 0)
		return 0; /* a sign of life goes to no port */
	mutex_lock(&g.lock);
	g.dialed++;
	cond_broadcast(&g.changed);
	mutex_unlock(&g.lock);
	return 0;
}

int agent_link_flush(unused_arg struct agent_link *l, unused_arg usec_t deadline,
		     unused_arg struct err *err)
{
	struct err why;
	bool comes;

	mutex_lock(&g.lock);
	comes = g.to_come > 0 && g.tunnel != NULL;
	g.to_come -= comes;
	mutex_unlock(&g.lock);
	/* one that fails is not dialed */
	if (comes && tunnel_connect(g.tunnel, &g.ours[g.made], &why) == 0)
		g.made++;
	return 0;
}

int agent_link_receive(unused_arg struct agent_link *l, unused_arg usec_t deadline,
		       unused_arg struct frame *ret, struct err *err)
{
	return err_set(err, ERR_TIMEOUT, "silence");
}

int agent_link_fd(unused_arg const struct agent_link *l)
{
	return g_link_fd;
}

void agent_link_close(unused_arg struct agent_link *l)
{
}

static bool are_dialed(size_t count)
{
	usec_t until = clock_deadline(PATIENCE);
	bool enough;

	mutex_lock(&g.lock);
	while (g.dialed < count && clock_mono() < until)
		cond_wait_until(&g.changed, &g.lock, until);
	enough = g.dialed >= count;
	mutex_unlock(&g.lock);
	return enough;
}

/* The first wakes the thread; each of the others is made when it has taken the one before, and is
 * about to wait. */
START_TEST(test_while_it_flushes)
{
	struct said said = {0};
	struct tunnel *t;
	struct err err;
	int first;

	mutex_init(&g.lock);
	cond_init(&g.changed);
	g_link_fd = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_eq(tunnel_new(NULL, 1, 9000, &said, &t, &err), 0);
	mutex_lock(&g.lock);
	g.tunnel = t;
	g.to_come = COUNT - 1;
	mutex_unlock(&g.lock);
	ck_assert_int_eq(tunnel_connect(t, &first, &err), 0);
	ck_assert(are_dialed(COUNT));
	tunnel_free(t);
	close(first);
	while (g.made > 0)
		close(g.ours[--g.made]);
	close(g_link_fd);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("tunnel");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_while_it_flushes);
	return suite_run("tunnel", t);
}
