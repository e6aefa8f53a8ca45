/*
 * test_describe.c: types by name and by content, ids that stay the same; and the directory of
 * contents.
 */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"
#include "common/store/session.h"
#include "mem.h"
#include "tests/unit/store_fixture.h"

static struct store_file describe(const char *name, const void *data, size_t len)
{
	const struct store_task t = {.task_id = "2f1c9d4e-5a0b-4c7d-8e6f-001122334455"};
	struct store_file f = {.name = name, .data = data, .len = len};
	store_describe_files(&t, &f, 1);
	return f;
}

static void expect_mime(const char *name, const char *data, size_t len, const char *mime)
{
	struct store_file f = describe(name, data, len);
	ck_assert_str_eq(f.mime, mime);
}

START_TEST(test_types)
{
	expect_mime("report.pdf", "%PDF-1.7", 8, "application/pdf");
	expect_mime("a/b/PLOT.PNG", "", 0, "image/png");
	expect_mime("t.tar.gz", "x", 1, "application/gzip");
	expect_mime("x.xlsx", "PK\x03\x04", 4,
		    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet");
	/* The name says nothing. */
	expect_mime("plot", "\x89PNG\r\n\x1a\n.", 9, "image/png");
	expect_mime("photo.dat", "\xff\xd8\xff\xe0", 4, "image/jpeg");
	expect_mime(".gif", "GIF89a", 6, "image/gif");
	expect_mime("v1.2/doc", "%PDF-1.4\n", 9, "application/pdf");
	expect_mime("archive", "PK\x03\x04", 4, "application/zip");
	expect_mime("notes", "gr\xc3\xbc\xc3\x9f\x65\n", 8, "text/plain");
	expect_mime("blob", "\x00\x01", 2, "application/octet-stream");
	expect_mime("blob", "\xff\xfe", 2, "application/octet-stream");
	expect_mime("cut", "\x89PN", 3, "application/octet-stream");
	expect_mime("empty", NULL, 0, "application/octet-stream");
	expect_mime("dot.", "hi", 2, "text/plain");
}
END_TEST

START_TEST(test_ids)
{
	struct store_file a = describe("a.txt", "1", 1), again = describe("a.txt", "2", 1),
			  b = describe("b.txt", "1", 1);
	ck_assert_str_eq(a.id, again.id);
	ck_assert_str_ne(a.id, b.id);
	ck_assert_str_ne(a.sha256, again.sha256);
	ck_assert_uint_eq(strlen(a.id), 36);
	ck_assert_int_eq(a.id[14], '8');
	ck_assert_ptr_nonnull(strchr("89ab", a.id[19]));
	ck_assert_str_eq(describe("x", NULL, 0).sha256,
			 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
END_TEST

/* ---- MEDIA_DIR ---- */

static char g_dir[64];

static void make(void)
{
	scratch_make(g_dir);
}

static void unmake(void)
{
	scratch_remove(g_dir);
}

static char *keep(const char *text)
{
	struct err err = {0};
	char digest[SHA256_HEX_SIZE], *path = NULL;
	sha256_hex(text, strlen(text), digest);
	int rc = media_keep(g_dir, digest, text, strlen(text), &path, &err);
	ck_assert_msg(rc == 0, "%s", err.msg);
	return path;
}

static int entries(const char *path)
{
	char dir[256];
	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	DIR *d = opendir(dir);
	ck_assert_ptr_nonnull(d);
	int count = 0;
	for (struct dirent *e = readdir(d); e; e = readdir(d))
		count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return count;
}

START_TEST(test_media_once)
{
	struct stat first, second;
	char *path = keep("hello"), *again;
	ck_assert_int_eq(stat(path, &first), 0);
	again = keep("hello");
	ck_assert_str_eq(path, again);
	ck_assert_int_eq(stat(path, &second), 0);
	ck_assert_uint_eq(first.st_ino, second.st_ino);
	ck_assert_int_eq(entries(path), 1); /* and no temporary file */
	char text[8] = "";
	int fd = open(path, O_RDONLY);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 5);
	close(fd);
	ck_assert_str_eq(text, "hello");
	free(path);
	free(again);
}
END_TEST

static void stage(const char *name, int days_ago)
{
	_cleanup_free_ char *path = xasprintf("%s/.staging/%s", g_dir, name);
	const struct timespec times[] = {{.tv_sec = time(NULL) - days_ago * 86400},
					 {.tv_sec = time(NULL) - days_ago * 86400}};
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(futimens(fd, times), 0);
	close(fd);
}

/* What is being written is left alone, what nobody will end is removed, once. */
START_TEST(test_media_sweep)
{
	_cleanup_free_ char *path = keep("hello"), *old = NULL, *beside = NULL;
	struct err err = {0};
	int64_t removed = -1;

	stage("old", 2);
	stage("young", 0);
	old = xasprintf("%s/.staging/old", g_dir);
	beside = xasprintf("%s/.staging/link", g_dir);
	ck_assert_int_eq(symlink(path, beside), 0);
	for (int i = 0; i < 2; i++) {
		ck_assert_msg(media_sweep(g_dir, clock_wall() - 86400 * USEC_PER_SEC, &removed,
					  &err) == 0,
			      "%s", err.msg);
		ck_assert_int_eq(removed, i == 0);
	}
	ck_assert_int_eq(entries(old), 2);
	ck_assert_int_lt(access(old, F_OK), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_int_lt(media_sweep("/nonexistent", 0, &removed, &err), 0);
}
END_TEST

START_TEST(test_media_mends)
{
	/* Something of that name which cannot be the content: cut short, or a link planted there.
	 */
	struct stat st;
	char *path = keep("hello"), *again;
	ck_assert_int_eq(truncate(path, 2), 0);
	again = keep("hello");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 5);
	free(again);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	again = keep("hello");
	ck_assert_int_eq(lstat(path, &st), 0);
	ck_assert(S_ISREG(st.st_mode));
	free(again);
	free(path);
}
END_TEST

START_TEST(test_media_follows_no_link)
{
	struct err err = {0};
	char digest[SHA256_HEX_SIZE], link[128], elsewhere[64], *path = NULL;
	sha256_hex("x", 1, digest);
	scratch_make(elsewhere);
	snprintf(link, sizeof(link), "%s/%.2s", g_dir, digest);
	ck_assert_int_eq(symlink(elsewhere, link), 0);
	ck_assert_int_lt(media_keep(g_dir, digest, "x", 1, &path, &err), 0);
	ck_assert_int_eq(rmdir(elsewhere), 0);
}
END_TEST

START_TEST(test_media_open)
{
	struct err err = {0};
	struct store *s;
	char dir[128];
	snprintf(dir, sizeof(dir), "%s/new", g_dir);
	struct settings settings = {.database_url = "postgresql://a@/b", .media_dir = dir};
	ck_assert_int_eq(store_open(&settings, &s, &err), 0);
	store_close(s);
	ck_assert_int_eq(access(dir, W_OK), 0);
	snprintf(dir, sizeof(dir), "%s/not/there", g_dir);
	ck_assert_int_eq(store_open(&settings, &s, &err), -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "MEDIA_DIR"));
	settings.media_dir = "/etc/hostname";
	ck_assert_int_eq(store_open(&settings, &s, &err), -ERR_INVALID);
	settings = (struct settings){.database_url = ""};
	ck_assert_int_eq(store_open(&settings, &s, &err), -ERR_INVALID);
	settings.database_url = "mysql://a@b/c";
	ck_assert_int_eq(store_open(&settings, &s, &err), -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "DATABASE_URL"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("describe");
	TCase *c = tcase_create("describe"), *media = tcase_create("media");

	tcase_add_test(c, test_types);
	tcase_add_test(c, test_ids);
	suite_add_tcase(suite, c);
	tcase_add_checked_fixture(media, make, unmake);
	tcase_add_test(media, test_media_once);
	tcase_add_test(media, test_media_sweep);
	tcase_add_test(media, test_media_mends);
	tcase_add_test(media, test_media_follows_no_link);
	tcase_add_test(media, test_media_open);
	suite_add_tcase(suite, media);

	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
