/* URLs of databases: what SQLAlchemy and libpq call them, and which hosts are meant. */
#include <stdlib.h>
#include <string.h>

#include "bounds.h"
#include "buf.h"
#include "common/client/pg_conn.h"
#include "mem.h"
#include "tests/unit/suite.h"

START_TEST(test_urls)
{
	static const struct {
		const char *given, *want;
	} cases[] = {
		{"postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"},
		{"postgres://h/d", "postgresql://h/d"},
		{"postgresql+psycopg2://u:p@h/d", "postgresql://u:p@h/d"},
		{"postgresql+psycopg://u@/d?host=/run/x", "postgresql://u@/d?host=/run/x"},
		{"PostgreSQL+asyncpg://h/d?sslmode=require", "postgresql://h/d?sslmode=require"},
		{"postgresql://", "postgresql://"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err;
		char *url;

		ck_assert_msg(pg_url_parse(cases[i].given, &url, &err) == 0, "%s: %s",
			      cases[i].given, err.msg);
		ck_assert_str_eq(url, cases[i].want);
		free(url);
	}
}
END_TEST

static void note_host(void *arg, const char *host, int port)
{
	buf_appendf(arg, "%s:%d ", host, port);
}

/* The hosts of a URL, for who must know them; none of what is no URL of PostgreSQL. */
START_TEST(test_url_hosts)
{
	static const struct {
		const char *url, *hosts; /* NULL: no URL */
	} rows[] = {
		{"postgresql://u@a,b:6432/d", "a:5432 b:6432 "},
		{"postgresql:///d?host=/run/postgresql", ""},
		{"postgresql:///d", ""},
		{"redis://h", NULL},
		{"postgresql://[h/d", NULL},
	};
	_cleanup_free_ char *longest = xmalloc(BOUND_URL_BYTES + 32);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_buf_ struct buf hosts = BUF_INIT(100);

		ck_assert(pg_url_hosts(rows[i].url, note_host, &hosts) == (rows[i].hosts != NULL));
		ck_assert_str_eq(hosts.data ? hosts.data : "", rows[i].hosts ? rows[i].hosts : "");
	}
	memcpy(longest, "postgresql://", 13);
	memset(longest + 13, 'h', BOUND_URL_BYTES);
	longest[13 + BOUND_URL_BYTES] = '\0';
	ck_assert(!pg_url_hosts(longest, note_host, NULL));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("urls");

	tcase_add_test(t, test_urls);
	tcase_add_test(t, test_url_hosts);
	return suite_run("pg_url", t);
}
