/*
 * image.c: images of servers, fetched where the engine does not have them.
 *
 * A fetch has a thread of its own, since it may take longer than any call that wants it: who waits
 * has a deadline, and a later call finds it further on or done. One image is fetched once at a
 * time.
 */
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "sandbox_internal.h"

#define PULLS	   4 /* at once */
#define LOOK_AGAIN (100 * USEC_PER_MSEC)

struct image_pull {
	struct image_pull *next;
	struct sandbox *s;
	char *image;
	pthread_t thread;
	/* guarded by the lock of images */
	int64_t waiting;
	bool done;
	int rc;
	struct err why;
};

void sandbox_images_init(struct images *all)
{
	mutex_init(&all->lock);
	cond_init(&all->changed);
}

static void unlist(struct images *all, struct image_pull *p) REQUIRES(all->lock)
{
	for (struct image_pull **at = &all->first; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			all->count--;
			return;
		}
}

static void destroy(struct image_pull *p)
{
	pthread_join(p->thread, NULL);
	free(p->image);
	free(p);
}

void sandbox_images_done(struct images *all)
{
	struct image_pull *p;

	atomic_store(&all->stopping, true);
	while ((p = all->first)) {
		all->first = p->next;
		destroy(p);
	}
	cond_done(&all->changed);
	mutex_done(&all->lock);
}

/* ---- the thread ---- */
static bool is_stopping(void *arg)
{
	return atomic_load(&((struct image_pull *)arg)->s->images.stopping);
}

static void tell(void *arg, const char *line)
{
	log_info("image %s: %s", ((struct image_pull *)arg)->image, line);
}

static void *pull_thread(void *arg)
{
	struct image_pull *p = arg;
	struct images *all = &p->s->images;
	const struct engine_pull how = {tell, is_stopping, p};
	usec_t began = clock_mono();
	struct err err = {0};
	int rc;

	log_info("image %s is not on the engine: it is fetched", p->image);
	rc = engine_image_pull(p->s->engine, p->image, &how, &err);
	if (rc == 0)
		log_info("image %s was fetched in %lld s", p->image,
			 (long long)((clock_mono() - began) / USEC_PER_SEC));
	else
		log_warning("image %s could not be fetched: %s", p->image, err.msg);
	mutex_lock(&all->lock);
	p->done = true;
	p->rc = rc;
	p->why = err;
	cond_broadcast(&all->changed);
	mutex_unlock(&all->lock);
	return NULL;
}

/* ---- who waits ---- */
/* Those that nobody waited for to the end. */
static void forget_done(struct images *all)
{
	struct image_pull *old = NULL;

	mutex_lock(&all->lock);
	for (struct image_pull *p = all->first; p && !old; p = p->next)
		if (p->done && p->waiting == 0)
			old = p;
	if (old)
		unlist(all, old);
	mutex_unlock(&all->lock);
	if (old)
		destroy(old);
}

static int begin(struct sandbox *s, const char *image, struct image_pull **ret, struct err *err)
	REQUIRES(s->images.lock)
{
	struct image_pull *p;

	if (s->images.count >= PULLS) {
		err_set(err, ERR_UNAVAILABLE, "%d images are being fetched already", PULLS);
		return err_transient(err);
	}
	p = xcalloc(1, sizeof(*p));
	p->s = s;
	p->image = xstrdup(image);
	int rc = thread_start(&p->thread, "image-pull", pull_thread, p, err);
	if (rc < 0) {
		free(p->image);
		free(p);
		return rc;
	}
	p->next = s->images.first;
	s->images.first = p;
	s->images.count++;
	*ret = p;
	return 0;
}

static int await(struct images *all, struct image_pull *p, usec_t deadline,
		 const atomic_bool *cancelled, struct err *err) REQUIRES(all->lock)
{
	while (!p->done) {
		if (cancelled && atomic_load(cancelled))
			return err_set(err, ERR_CANCELLED, "asked to stop");
		if (clock_mono() >= deadline)
			return err_set(err, ERR_UNAVAILABLE,
				       "image %.100s is still being fetched; a later call finds it",
				       p->image);
		cond_wait_until(&all->changed, &all->lock, clock_deadline(LOOK_AGAIN));
	}
	if (p->rc < 0)
		*err = p->why;
	return p->rc;
}

static int fetch(struct sandbox *s, const char *image, usec_t deadline,
		 const atomic_bool *cancelled, struct err *err)
{
	struct images *all = &s->images;
	struct image_pull *p;
	bool last = false;
	int rc = 0;

	forget_done(all);
	mutex_lock(&all->lock);
	for (p = all->first; p && (p->done || strcmp(p->image, image) != 0);)
		p = p->next;
	if (!p)
		rc = begin(s, image, &p, err);
	if (rc == 0) {
		p->waiting++;
		rc = await(all, p, deadline, cancelled, err);
		last = --p->waiting == 0 && p->done;
		if (last)
			unlist(all, p);
	}
	mutex_unlock(&all->lock);
	if (last)
		destroy(p);
	return rc;
}

int sandbox_image_need(struct sandbox *s, const char *image, usec_t deadline,
		       const atomic_bool *cancelled, struct err *err)
{
	char id[ENGINE_ID_SIZE];
	int rc = engine_image_id(s->engine, image, id, err);

	if (rc != -ERR_NOTFOUND)
		return rc;
	rc = fetch(s, image, deadline, cancelled, err);
	return rc < 0 ? err_wrap(err, "image %.100s", image) : 0;
}
