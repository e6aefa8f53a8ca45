/* Files that no row names: which go, and what stays when somebody wants them meanwhile. */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "common/store/session.h"
#include "mem.h"
#include "tests/unit/suite.h"

#define DAY (86400 * USEC_PER_SEC)

static char g_dir[] = "/tmp/celeriac-media-XXXXXX";
static const char *g_named;    /* a row names it */
static const char *g_kept_now; /* kept again just after the rows were asked */
static size_t g_asked;
static struct err g_err;

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(g_dir));
	g_named = g_kept_now = NULL;
	g_asked = 0;
}

static int remove_entry(const char *path, unused_arg const struct stat *st, unused_arg int type,
			unused_arg struct FTW *at)
{
	return remove(path);
}

static void teardown(void)
{
	nftw(g_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void digest_of(const char *text, char out[SHA256_HEX_SIZE])
{
	sha256_hex(text, strlen(text), out);
}

/* Kept, and then left alone for ten days. */
static char *keep(const char *text)
{
	const struct timespec times[2] = {{.tv_sec = clock_machine() / USEC_PER_SEC - 10 * 86400},
					  {.tv_sec = clock_machine() / USEC_PER_SEC - 10 * 86400}};
	char digest[SHA256_HEX_SIZE];
	char *path;

	digest_of(text, digest);
	ck_assert_int_eq(media_keep(g_dir, digest, text, strlen(text), &path, &g_err), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
	return path;
}

static int ask_rows(unused_arg void *arg, char digests[][SHA256_HEX_SIZE], size_t count,
		    unused_arg struct err *err)
{
	char named[SHA256_HEX_SIZE];

	g_asked += count;
	if (g_named != NULL) {
		digest_of(g_named, named);
		for (size_t i = 0; i < count; i++) {
			if (strcmp(digests[i], named) == 0)
				digests[i][0] = '\0';
		}
	}
	if (g_kept_now != NULL) {
		char *path;

		digest_of(g_kept_now, named);
		ck_assert_int_eq(
			media_keep(g_dir, named, g_kept_now, strlen(g_kept_now), &path, &g_err), 0);
		free(path);
	}
	return 0;
}

static int64_t prune(int64_t *ret_bytes)
{
	const struct media_prune p = {.before = clock_machine() - DAY,
				      .leave_unnamed = ask_rows,
				      .deadline = clock_deadline(60 * USEC_PER_SEC)};
	int64_t files = 0;

	*ret_bytes = 0;
	ck_assert_int_eq(media_prune(g_dir, &p, &files, ret_bytes, &g_err), 0);
	return files;
}

START_TEST(test_what_goes)
{
	_cleanup_free_ char *a = keep("one"), *b = keep("two, named"), *c = keep("three"), *young;
	char digest[SHA256_HEX_SIZE];
	int64_t bytes;

	digest_of("young", digest);
	ck_assert_int_eq(media_keep(g_dir, digest, "young", 5, &young, &g_err), 0);
	g_named = "two, named";
	ck_assert_int_eq(prune(&bytes), 2);
	ck_assert_int_eq(bytes, 8);
	ck_assert_uint_eq(g_asked, 3);
	ck_assert_int_eq(access(b, F_OK), 0);
	ck_assert_int_eq(access(young, F_OK), 0);
	ck_assert_int_ne(access(a, F_OK), 0);
	ck_assert_int_ne(access(c, F_OK), 0);
	ck_assert_int_eq(prune(&bytes), 0);
}
END_TEST

/* Its row is on the way, and nobody could see it yet. */
START_TEST(test_wanted_meanwhile)
{
	_cleanup_free_ char *a = keep("wanted"), *b = keep("not wanted");
	int64_t bytes;

	g_kept_now = "wanted";
	ck_assert_int_eq(prune(&bytes), 1);
	ck_assert_int_eq(access(a, F_OK), 0);
	ck_assert_int_ne(access(b, F_OK), 0);
}
END_TEST

/* Whoever did it before died between putting aside and removing, or putting back. */
START_TEST(test_left_aside)
{
	_cleanup_free_ char *a = keep("aside"), *b = keep("twice");
	char digest[SHA256_HEX_SIZE], aside[512];
	int64_t bytes;

	digest_of("aside", digest);
	snprintf(aside, sizeof(aside), "%s/%.2s/%.2s/gone-%s", g_dir, digest, digest + 2, digest);
	ck_assert_int_eq(rename(a, aside), 0);
	digest_of("twice", digest);
	snprintf(aside, sizeof(aside), "%s/%.2s/%.2s/gone-%s", g_dir, digest, digest + 2, digest);
	ck_assert_int_eq(link(b, aside), 0);
	g_named = "aside";
	(void)prune(&bytes); /* may see them by their names at once, or the next time */
	ck_assert_int_eq(access(a, F_OK), 0);
	(void)prune(&bytes);
	ck_assert_int_eq(access(a, F_OK), 0);
	ck_assert_int_ne(access(b, F_OK), 0);
	ck_assert_int_ne(access(aside, F_OK), 0);
}
END_TEST

/* Neither what is no file of ours nor what lies elsewhere. */
START_TEST(test_strangers)
{
	_cleanup_free_ char *a = keep("moved"), *zero = xasprintf("%s/00", g_dir),
			    *elsewhere = xasprintf("%s/00/11", g_dir),
			    *linked = xasprintf("%s/ff", g_dir), *target = NULL, *moved = NULL,
			    *theirs = NULL;
	const struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	char outside[] = "/tmp/celeriac-outside-XXXXXX", digest[SHA256_HEX_SIZE];
	int64_t bytes;

	digest_of("moved", digest);
	(void)!mkdir(zero, 0755);
	(void)!mkdir(elsewhere, 0755);
	moved = xasprintf("%s/%s", elsewhere, digest);
	ck_assert_int_eq(rename(a, moved), 0);
	ck_assert_ptr_nonnull(mkdtemp(outside));
	target = xasprintf("%s/00", outside);
	ck_assert_int_eq(mkdir(target, 0755), 0);
	ck_assert_int_eq(symlink(outside, linked), 0);
	theirs = xasprintf("%s/ff00%060d", target, 0);
	int fd = open(theirs, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(utimensat(AT_FDCWD, theirs, old, 0), 0);
	ck_assert_int_eq(prune(&bytes), 0);
	ck_assert_uint_eq(g_asked, 0);
	ck_assert_int_eq(access(moved, F_OK), 0);
	ck_assert_int_eq(access(theirs, F_OK), 0);
	unlink(theirs);
	rmdir(target);
	rmdir(outside);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("media_prune");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_what_goes);
	tcase_add_test(t, test_wanted_meanwhile);
	tcase_add_test(t, test_left_aside);
	tcase_add_test(t, test_strangers);
	return suite_run("media_prune", t);
}
