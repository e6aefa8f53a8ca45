/*
 * engine_driver.h: the two ways to an engine behind the calls of engine.h: Docker's API (direct),
 * and a process of its own that alone has it (remote; waist.h). Private to
 * common/sandbox/engine*.c.
 */
#ifndef CELERIAC_ENGINE_DRIVER_H
#define CELERIAC_ENGINE_DRIVER_H

#include "engine.h"
#include "http.h"

/* Each as engine_<name>. */
struct engine_driver {
	int (*probe)(struct engine *e, struct engine_info *ret, struct err *err);
	int (*ping)(struct engine *e, struct err *err);
	int (*image_pull)(struct engine *e, const char *image, const struct engine_pull *how,
			  struct err *err);
	int (*image_id)(struct engine *e, const char *image, char ret_id[ENGINE_ID_SIZE],
			struct err *err);
	int (*image_label)(struct engine *e, const char *image, const char *name, char **ret,
			   struct err *err);
	int (*image_volumes)(struct engine *e, const char *image, char ***ret, struct err *err);
	int (*image_env)(struct engine *e, const char *image, char ***ret, struct err *err);
	int (*network_need)(struct engine *e, const char *name, struct err *err);
	int (*create)(struct engine *e, const struct engine_spec *spec, char ret_id[ENGINE_ID_SIZE],
		      char **ret_warnings, struct err *err);
	int (*start)(struct engine *e, const char *id, struct err *err);
	int (*rename)(struct engine *e, const char *id, const char *name, struct err *err);
	bool (*name_is_taken)(struct engine *e, const char *name);
	int (*kill)(struct engine *e, const char *id, struct err *err);
	int (*reap)(struct engine *e, const char *id, const char *why, bool *ret_done,
		    struct err *err);
	int (*inspect)(struct engine *e, const char *id, struct engine_container *ret,
		       struct err *err);
	int (*group)(struct engine *e, const char *id, struct engine_group *ret, struct err *err);
	int (*list)(struct engine *e, struct engine_container **ret, size_t *ret_count,
		    struct err *err);
	int (*deliver_agent)(struct engine *e, const char *image, const void *agent, size_t len,
			     char ret_volume[80], struct err *err);
	int (*package_volume)(struct engine *e, const char *volume, bool *ret_made,
			      struct err *err);
	bool (*package_exists)(struct engine *e, const char *volume);
	int (*package_remove)(struct engine *e, const char *volume, struct err *err);
	int (*package_open)(struct engine *e, const char *container, struct err *err);
	int (*package_seal)(struct engine *e, const char *container, struct err *err);
	int (*package_is_whole)(struct engine *e, const char *container, bool *ret,
				struct err *err);
	int (*sweep_volumes)(struct engine *e, const char *const *keep, usec_t before,
			     int64_t *ret_removed, struct err *err);
	int (*sweep_networks)(struct engine *e, const char *const *keep, usec_t before,
			      int64_t *ret_removed, struct err *err);
	int (*sweep_images)(struct engine *e, const char *const *keep, usec_t before,
			    int64_t *ret_removed, struct err *err);
	int (*disk)(struct engine *e, struct engine_disk *ret, struct err *err);
	int (*usage)(struct engine *e, struct engine_usage *ret, struct err *err);
	/* the bytes of an attached container as Docker frames them; lines of events */
	int (*attach)(struct engine *e, const char *id, struct http_stream **ret, struct err *err);
	int (*events)(struct engine *e, struct http_stream **ret, struct err *err);
};
extern const struct engine_driver engine_direct, engine_remote;

int engine_direct_probe(struct engine *e, struct engine_info *ret, struct err *err) must_check;
int engine_direct_ping(struct engine *e, struct err *err) must_check;
int engine_direct_image_pull(struct engine *e, const char *image, const struct engine_pull *how,
			     struct err *err) must_check;
int engine_direct_image_id(struct engine *e, const char *image, char ret_id[ENGINE_ID_SIZE],
			   struct err *err) must_check;
int engine_direct_image_label(struct engine *e, const char *image, const char *name, char **ret,
			      struct err *err) must_check;
int engine_direct_image_volumes(struct engine *e, const char *image, char ***ret,
				struct err *err) must_check;
int engine_direct_image_env(struct engine *e, const char *image, char ***ret,
			    struct err *err) must_check;
int engine_direct_network_need(struct engine *e, const char *name, struct err *err) must_check;
int engine_direct_create(struct engine *e, const struct engine_spec *spec,
			 char ret_id[ENGINE_ID_SIZE], char **ret_warnings,
			 struct err *err) must_check;
int engine_direct_start(struct engine *e, const char *id, struct err *err) must_check;
int engine_direct_rename(struct engine *e, const char *id, const char *name,
			 struct err *err) must_check;
bool engine_direct_name_is_taken(struct engine *e, const char *name);
int engine_direct_kill(struct engine *e, const char *id, struct err *err) must_check;
int engine_direct_reap(struct engine *e, const char *id, const char *why, bool *ret_done,
		       struct err *err) must_check;
int engine_direct_inspect(struct engine *e, const char *id, struct engine_container *ret,
			  struct err *err) must_check;
int engine_direct_group(struct engine *e, const char *id, struct engine_group *ret,
			struct err *err) must_check;
int engine_direct_list(struct engine *e, struct engine_container **ret, size_t *ret_count,
		       struct err *err) must_check;
int engine_direct_deliver_agent(struct engine *e, const char *image, const void *agent, size_t len,
				char ret_volume[80], struct err *err) must_check;
int engine_direct_package_volume(struct engine *e, const char *volume, bool *ret_made,
				 struct err *err) must_check;
bool engine_direct_package_exists(struct engine *e, const char *volume);
int engine_direct_package_remove(struct engine *e, const char *volume, struct err *err) must_check;
int engine_direct_package_open(struct engine *e, const char *container, struct err *err) must_check;
int engine_direct_package_seal(struct engine *e, const char *container, struct err *err) must_check;
int engine_direct_package_is_whole(struct engine *e, const char *container, bool *ret,
				   struct err *err) must_check;
int engine_direct_sweep_volumes(struct engine *e, const char *const *keep, usec_t before,
				int64_t *ret_removed, struct err *err) must_check;
int engine_direct_sweep_networks(struct engine *e, const char *const *keep, usec_t before,
				 int64_t *ret_removed, struct err *err) must_check;
int engine_direct_sweep_images(struct engine *e, const char *const *keep, usec_t before,
			       int64_t *ret_removed, struct err *err) must_check;
int engine_direct_disk(struct engine *e, struct engine_disk *ret, struct err *err) must_check;
int engine_direct_usage(struct engine *e, struct engine_usage *ret, struct err *err) must_check;
/* Of an answer to /system/df. Pure. */
/* Does one of `names` (references, NULL-terminated) look up the image of that id? Pure. */
bool engine_image_is_named(const char *id, const char *const *names);
void engine_usage_parse(const json_t *usage, const char *instance, struct engine_usage *ret);
int engine_direct_attach(struct engine *e, const char *id, struct http_stream **ret,
			 struct err *err) must_check;
int engine_direct_events(struct engine *e, struct http_stream **ret, struct err *err) must_check;

#endif
