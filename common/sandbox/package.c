/*
 * package.c: packages of servers, each installed once into a volume.
 *
 * The container that installs is also the lock: an engine gives its name to one only, so of all
 * workers one installs and the others wait, and what somebody who died has left is swept like any
 * container of a server. Nothing of the installation reaches the server's own streams.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "codec.h"
#include "log.h"
#include "mem.h"
#include "said.h"
#include "sandbox_internal.h"

#define LOOK_AGAIN_MS	200
#define DIGEST_IN_NAME	32
#define INSTALL_MEASURE (200 * USEC_PER_MSEC) /* whether we are to stop */

void sandbox_packages_init(struct packages *all)
{
	mutex_init(&all->lock);
}

void sandbox_packages_done(struct packages *all)
{
	mutex_done(&all->lock);
}

/* ---- what is there ---- */
static bool is_known(struct sandbox *s, const char *volume)
{
	struct packages *all = &s->packages;
	bool known = false;

	mutex_lock(&all->lock);
	for (size_t i = 0; i < PACKAGES_KNOWN; i++)
		known |= strcmp(all->known[i], volume) == 0;
	mutex_unlock(&all->lock);
	return known && engine_package_exists(s->engine, volume);
}

static void remember(struct sandbox *s, const char *volume)
{
	struct packages *all = &s->packages;

	mutex_lock(&all->lock);
	snprintf(all->known[all->next++ % PACKAGES_KNOWN], SANDBOX_VOLUME_SIZE, "%s", volume);
	mutex_unlock(&all->lock);
}

/* What went into it names it. */
static int name_volume(struct sandbox *s, const struct sandbox_server_wish *wish,
		       char out[SANDBOX_VOLUME_SIZE], struct err *err)
{
	const struct sandbox_package *p = wish->package;
	_cleanup_buf_ struct buf all = BUF_INIT(BOUND_ENV_BYTES * 2);
	char image[ENGINE_ID_SIZE], digest[SHA256_HEX_SIZE];
	int rc = engine_image_id(s->engine, wish->image, image, err);

	if (rc < 0)
		return rc;
	buf_appendf(&all, "%s%c%s%c%s", s->settings->instance, 0, p->id, 0, image);
	for (const char *const *e = p->env; e && *e; e++)
		buf_append(&all, *e, strlen(*e) + 1);
	rc = buf_status(&all, err);
	if (rc < 0)
		return rc;
	sha256_hex(all.data, all.len, digest);
	snprintf(out, SANDBOX_VOLUME_SIZE, ENGINE_PACKAGE_PREFIX "%.*s", DIGEST_IN_NAME, digest);
	return 0;
}

/* ---- the installation ---- */
struct install {
	struct sandbox *s;
	const struct sandbox_server_wish *wish;
	const char *volume;
	usec_t deadline; /* of what is waited for now */
	char container[ENGINE_ID_SIZE];
	struct agent_link *link;
	uint32_t run;
	struct said said;
};

static int check(const struct install *i, struct err *err)
{
	if (i->wish->cancelled && atomic_load(i->wish->cancelled))
		return err_set(err, ERR_CANCELLED, "asked to stop");
	if (clock_mono() >= i->deadline)
		return err_set(err, ERR_TIMEOUT, "it takes too long");
	return 0;
}

static int ended(struct install *i, const struct frame *f, struct err *err)
{
	struct frame_exit e;
	struct slice text;

	if (!frame_exit_decode(f, &e, &text))
		return err_set(err, ERR_PROTOCOL, "a short EXIT");
	if (e.end == FRAME_END_NOT_STARTED) {
		said_add(&i->said, text.data, text.len);
		return err_set(err, ERR_FAILED, "its installer cannot be started");
	}
	if (e.end == FRAME_END_TOO_LARGE)
		return err_set(err, ERR_TOOBIG, "it is larger than %llu MiB, or hides what it has",
			       FRAME_INSTALL_MAX >> 20);
	if (e.end == FRAME_END_TIMEOUT)
		return err_set(err, ERR_TIMEOUT, "it takes too long");
	if (e.term_signal || e.exit_code)
		return err_set(err, ERR_FAILED, "its installer ended with %s %u",
			       e.term_signal ? "signal" : "code",
			       e.term_signal ? e.term_signal : e.exit_code);
	return 1;
}

/* Up to its end. */
static int follow(struct install *i, struct err *err)
{
	struct run_egress egress;
	struct frame f;
	int rc = 0;

	sandbox_run_egress_begin(&egress, i->link, i->run, i->wish->egress);
	while (rc == 0 && (rc = check(i, err)) == 0) {
		rc = sandbox_run_receive(&egress, clock_deadline(INSTALL_MEASURE), &f, err);
		if (rc == -ERR_TIMEOUT)
			rc = 0;
		else if (rc == 0 && (f.type == FRAME_STDOUT || f.type == FRAME_STDERR))
			said_add(&i->said, f.data, f.len);
		else if (rc == 0 && f.type >= FRAME_CHANNEL_OPEN)
			rc = sandbox_run_egress_frame(&egress, &f, err);
		else if (rc == 0 && f.type == FRAME_EXIT)
			rc = ended(i, &f, err);
	}
	sandbox_run_egress_end(&egress);
	return rc < 0 ? rc : 0;
}

static int run(struct install *i, struct err *err)
{
	const struct sandbox_package *p = i->wish->package;
	const char *const *steps[SANDBOX_INSTALL_STEPS + 1] = {p->steps[0], p->steps[1],
							       p->steps[2]};
	_cleanup_free_ char **env = NULL;
	int rc = sandbox_server_env(i->s, i->wish->image, sandbox_run_proxy_env, p->env, &env, err);

	if (rc == 0)
		rc = agent_link_open(i->s->engine, i->container, 1, false,
				     clock_deadline(SANDBOX_HELLO_TIME), &i->link, err);
	if (rc == 0)
		rc = sandbox_server_run(i->link, steps, (const char *const *)env,
					FRAME_RUN_PROXY | FRAME_RUN_INSTALL,
					i->deadline - clock_mono(), &i->run, err);
	return rc < 0 ? rc : follow(i, err);
}

/* With the lock held, in an empty volume. */
static int fill(struct install *i, struct err *err)
{
	usec_t began = clock_mono();
	int rc = engine_package_open(i->s->engine, i->container, err);

	log_info("package %s is being installed", i->wish->package->id);
	i->deadline = clock_deadline(i->s->settings->sandbox_max_timeout);
	if (rc == 0)
		rc = engine_start(i->s->engine, i->container, err);
	if (rc == 0)
		rc = run(i, err);
	agent_link_close(TAKE(i->link));
	if (rc == 0)
		rc = engine_kill(i->s->engine, i->container, err);
	if (rc == 0)
		rc = engine_package_seal(i->s->engine, i->container, err);
	if (rc == 0)
		log_info("package %s was installed in %.1f s", i->wish->package->id,
			 (double)(clock_mono() - began) / (double)USEC_PER_SEC);
	return rc;
}

/* 1: it is there. 0: half of it was, and is away now. ERR_CONFLICT: somebody else is at it. */
static int try(struct install *i, struct err *err)
{
	struct engine *e = i->s->engine;
	char name[SANDBOX_VOLUME_SIZE + 16];
	const struct server_container how = {
		.wish = i->wish, .agent = true, .name = name, .package = i->volume, .fill = true};
	bool made = false, whole = false;
	int rc;

	snprintf(name, sizeof(name), "%s-install", i->volume);
	if (engine_name_is_taken(e, name))
		return err_set(err, ERR_CONFLICT, "somebody else installs it");
	rc = engine_package_volume(e, i->volume, &made, err);
	if (rc == 0)
		rc = sandbox_server_create(i->s, &how, i->container, err);
	if (rc < 0)
		return rc;
	rc = engine_package_is_whole(e, i->container, &whole, err);
	if (rc == 0 && !whole && made)
		rc = fill(i, err);
	sandbox_container_drop(i->s, i->container);
	if (rc == 0 && (whole || made))
		return 1;
	/* half of one is no use to anybody */
	struct err ignored;
	if (engine_package_remove(e, i->volume, &ignored) < 0)
		log_debug("half a package stays: %s", ignored.msg);
	return rc;
}

/* What the installer said last is the reason. */
static int explain(const struct install *i, struct err *err)
{
	struct err why = *err;
	const char *words = i->said.text;

	if (i->said.len > 200)
		words += i->said.len - 200;
	if (i->said.len > 0 && err->code != ERR_CANCELLED) {
		err_set(err, (enum err_code)why.code, "%.120s; it wrote: %s", why.msg, words);
		err->flags = why.flags;
	}
	return err_wrap(err, "package %.100s", i->wish->package->id);
}

int sandbox_package_need(struct sandbox *s, const struct sandbox_server_wish *wish,
			 char ret_volume[SANDBOX_VOLUME_SIZE], struct err *err)
{
	struct install i = {.s = s, .wish = wish, .volume = ret_volume};
	int rc = name_volume(s, wish, ret_volume, err);

	if (rc < 0 || is_known(s, ret_volume))
		return rc;
	do {
		rc = try(&i, err);
		if (rc == -ERR_CONFLICT) {
			poll(NULL, 0, LOOK_AGAIN_MS);
			i.deadline = wish->deadline;
			rc = check(&i, err);
			if (rc == -ERR_TIMEOUT)
				rc = err_set(err, ERR_UNAVAILABLE,
					     "it is being installed; a later call finds it");
		}
	} while (rc == 0);
	if (rc < 0)
		return explain(&i, err);
	remember(s, ret_volume);
	return 0;
}
