/*
 * amqp_loop.c: takes COUNT messages of queue IN, sends an answer of the same size to OUT with a
 * confirm, and acknowledges each when its answer is confirmed; prints how many seconds it took from
 * the first delivery to the last ack.
 *
 *   amqp_loop bare|ours HOST PORT VHOST IN OUT COUNT PREFETCH
 *
 * `bare` is rabbitmq-c and nothing else, on one thread: answers go out as deliveries come in, acks
 * as confirms do. `ours` is include/amqp.h, as a driver uses it: another thread takes deliveries
 * and hands back a batch for each.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif

#include "amqp.h"
#include "clock.h"
#include "mem.h"
#include "thread.h"

#define TAKE_MOST 64

static const char *host, *vhost, *in_queue, *out_queue;
static int port;
static size_t count;
static uint16_t prefetch;
static usec_t first_at, last_at;

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "amqp_loop: %s failed\n", what);
	exit(1);
}

/* ---- bare ---- */

static amqp_connection_state_t bare;
static uint64_t *tags; /* of the deliveries, by the number of their answers */
static uint64_t sent, acked;

static void bare_open(void)
{
	amqp_socket_t *socket;

	bare = amqp_new_connection();
	socket = amqp_tcp_socket_new(bare);
	must(socket && amqp_socket_open(socket, host, port) == 0, "connect");
	must(amqp_login(bare, vhost, 0, 131072, 10, AMQP_SASL_METHOD_PLAIN, "guest", "guest")
			     .reply_type == AMQP_RESPONSE_NORMAL,
	     "login");
	must(amqp_channel_open(bare, 1) && amqp_channel_open(bare, 2) &&
		     amqp_confirm_select(bare, 2) && amqp_basic_qos(bare, 1, 0, prefetch, 0),
	     "channels");
	must(amqp_basic_consume(bare, 1, amqp_cstring_bytes(in_queue), amqp_empty_bytes, 0, 0, 0,
				amqp_empty_table),
	     "consume");
}

static void bare_frame(amqp_frame_t *f)
{
	must(amqp_simple_wait_frame(bare, f) == AMQP_STATUS_OK, "read");
}

static void bare_deliver(const amqp_basic_deliver_t *m)
{
	amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG,
		.content_type = amqp_cstring_bytes("application/json"),
		.delivery_mode = 2,
	};
	_cleanup_free_ char *body = NULL;
	amqp_bytes_t bytes = {0};
	amqp_frame_t f;
	size_t left;

	if (sent == 0)
		first_at = clock_mono();
	tags[++sent] = m->delivery_tag;
	bare_frame(&f);
	left = f.payload.properties.body_size;
	body = xmalloc(left + 1);
	while (left > 0) {
		bare_frame(&f);
		memcpy(body + bytes.len, f.payload.body_fragment.bytes,
		       f.payload.body_fragment.len);
		bytes.len += f.payload.body_fragment.len;
		left -= f.payload.body_fragment.len;
	}
	bytes.bytes = body;
	must(amqp_basic_publish(bare, 2, amqp_empty_bytes, amqp_cstring_bytes(out_queue), 0, 0,
				&properties, bytes) == AMQP_STATUS_OK,
	     "publish");
}

static void bare_run(void)
{
	uint64_t done = 0;
	unsigned char *confirmed = xcalloc(count + 2, 1);

	tags = xcalloc(count + 2, sizeof(*tags));
	bare_open();
	while (acked < count) {
		amqp_frame_t f;

		amqp_maybe_release_buffers(bare);
		bare_frame(&f);
		if (f.frame_type != AMQP_FRAME_METHOD)
			continue;
		if (f.payload.method.id == AMQP_BASIC_DELIVER_METHOD)
			bare_deliver(f.payload.method.decoded);
		if (f.payload.method.id == AMQP_BASIC_ACK_METHOD) {
			const amqp_basic_ack_t *ack = f.payload.method.decoded;

			for (uint64_t n = ack->multiple ? done + 1 : ack->delivery_tag;
			     n <= ack->delivery_tag; n++) {
				if (confirmed[n])
					continue;
				confirmed[n] = 1;
				acked++;
				must(amqp_basic_ack(bare, 1, tags[n], 0) == AMQP_STATUS_OK, "ack");
			}
			while (done < count && confirmed[done + 1])
				done++;
		}
	}
	last_at = clock_mono();
	(void)amqp_connection_close(bare, 200);
	(void)amqp_destroy_connection(bare);
	free(tags);
	free(confirmed);
}

/* ---- ours ---- */

static struct mutex lock;
static struct cond changed;
/* guarded by lock */
static size_t settled;

static void on_done(void *arg, const struct err *err)
{
	(void)arg;
	must(!err, err ? err->msg : "");
	mutex_lock(&lock);
	if (++settled == count) {
		last_at = clock_mono();
		cond_signal(&changed);
	}
	mutex_unlock(&lock);
}

static void ours_answer(struct amqp_client *c, const struct amqp_delivery *d)
{
	static char type[] = "application/json";
	const struct amqp_properties properties = {
		.text = {[AMQP_CONTENT_TYPE] = type},
		.delivery_mode = 2,
	};
	const struct amqp_publish publish = {
		.exchange = "",
		.routing_key = out_queue,
		.properties = &properties,
		.body = d->body,
		.len = d->len,
	};
	struct amqp_batch *b = amqp_batch_new();
	struct err err = {0};

	must(amqp_batch_publish(b, &publish, &err) == 0, err.msg);
	amqp_batch_settle(b, d->ref, AMQP_ACK);
	amqp_client_submit(c, b, AMQP_KEEP, on_done, NULL);
}

static void ours_run(void)
{
	_cleanup_free_ char *url = xasprintf("amqp://%s:%d/%s", host, port, vhost);
	const struct amqp_consumer consumer = {.queue = in_queue, .prefetch = prefetch};
	struct amqp_address *address;
	struct amqp_client *c;
	struct err err = {0};
	size_t taken = 0;

	mutex_init(&lock);
	cond_init(&changed);
	must(amqp_address_parse(url, NULL, &address, &err) == 0, err.msg);
	must(amqp_client_new(address, "bench", NULL, &c, &err) == 0, err.msg);
	must(amqp_client_consume(c, &consumer, clock_deadline(30 * USEC_PER_SEC), &err) == 0,
	     err.msg);
	while (taken < count) {
		struct amqp_delivery d[TAKE_MOST];
		size_t n = amqp_client_take(c, d, TAKE_MOST);
		struct pollfd fd = {.fd = amqp_client_fd(c), .events = POLLIN};

		if (n > 0 && taken == 0)
			first_at = clock_mono();
		for (size_t i = 0; i < n; i++) {
			ours_answer(c, &d[i]);
			amqp_delivery_done(&d[i]);
		}
		taken += n;
		if (n == 0)
			must(poll(&fd, 1, 30000) == 1, "waiting");
	}
	mutex_lock(&lock);
	while (settled < count)
		cond_wait(&changed, &lock);
	mutex_unlock(&lock);
	amqp_client_free(c, clock_deadline(10 * USEC_PER_SEC));
	amqp_address_unref(address);
}

int main(int argc, char **argv)
{
	must(argc == 9, "amqp_loop bare|ours HOST PORT VHOST IN OUT COUNT PREFETCH");
	host = argv[2];
	port = atoi(argv[3]);
	vhost = argv[4];
	in_queue = argv[5];
	out_queue = argv[6];
	count = strtoul(argv[7], NULL, 10);
	prefetch = (uint16_t)atoi(argv[8]);
	if (strcmp(argv[1], "bare") == 0)
		bare_run();
	else
		ours_run();
	(void)printf("%.6f\n", (double)(last_at - first_at) / (double)USEC_PER_SEC);
	return 0;
}
