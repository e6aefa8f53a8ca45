/*
 * mem.h: memory and clean-up.
 *
 * Fixed-size things come from xmalloc and friends, which abort when there is no memory: what the
 * process held is delivered again. Sizes that come from outside go through try_alloc with a limit
 * from bounds.h.
 */
#ifndef CELERIAC_MEM_H
#define CELERIAC_MEM_H

#include "base.h"
#include "err.h"

void *xmalloc(size_t size) must_check __attribute__((malloc, alloc_size(1)));
void *xcalloc(size_t count, size_t size) must_check __attribute__((malloc, alloc_size(1, 2)));
void *xrealloc(void *p, size_t size) must_check;
char *xstrdup(const char *s) must_check __attribute__((malloc));
/* Ends at a NUL if one comes before `len`: for text. Bytes whose length is used afterwards are for
 * xmemdup, which copies all of them and adds a NUL. */
char *xstrndup(const char *s, size_t len) must_check __attribute__((malloc));
char *xmemdup(const void *data, size_t len) must_check __attribute__((malloc));
char *xasprintf(const char *fmt, ...) printf_like(1, 2) must_check;

/*
 * Zeroed memory for `size` bytes asked for by input, at most `limit`. Given: the caller frees.
 * ERR_TOOBIG names `what` and the limit; ERR_NOMEM. [any]
 */
int try_alloc(size_t size, size_t limit, const char *what, void **ret, struct err *err) must_check;

/* Overwrites `size` bytes so that no compiler leaves it out. [any] */
void wipe(void *p, size_t size);

/* For owned locals: `_cleanup_free_ char *s = xstrdup(…);` and `return TAKE(s);` to hand over. */
static inline void cleanup_free_p(void *pp)
{
	void *p = *(void **)pp;
	extern void free(void *);
	free(p);
}
void cleanup_fd_p(int *fd);

#define _cleanup_(fn)  __attribute__((cleanup(fn)))
#define _cleanup_free_ _cleanup_(cleanup_free_p)
#define _cleanup_fd_   _cleanup_(cleanup_fd_p)

#define TAKE(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) *take_from_ = &(p);                                                  \
		__typeof__(p) taken_ = *take_from_;                                                \
		*take_from_ = NULL;                                                                \
		taken_;                                                                            \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *take_from_ = &(fd);                                                           \
		int taken_ = *take_from_;                                                          \
		*take_from_ = -1;                                                                  \
		taken_;                                                                            \
	})

#endif
