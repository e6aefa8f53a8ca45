/* Where connections may go: addresses, hosts, holes. */
#include <check.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "outbound.h"
#include "tests/unit/suite.h"

/* ---- addresses ---- */
static const struct {
	const char *text;
	bool forbidden;
} addresses[] = {
	{"8.8.8.8", false},
	{"9.255.255.255", false},
	{"11.0.0.0", false},
	{"100.63.255.255", false},
	{"100.128.0.0", false},
	{"126.255.255.255", false},
	{"172.15.255.255", false},
	{"172.32.0.0", false},
	{"192.0.1.0", false},
	{"198.17.255.255", false},
	{"198.20.0.0", false},
	{"223.255.255.255", false},
	{"2606:4700::1", false},
	{"2001:200::1", false},
	{"64:ff9b::8.8.8.8", false},
	{"2002:808:808::1", false},
	{"::ffff:8.8.8.8", false},
	{"0.0.0.0", true},
	{"0.1.2.3", true},
	{"10.0.0.0", true},
	{"10.255.255.255", true},
	{"100.64.0.1", true},
	{"100.100.100.200", true},
	{"127.0.0.1", true},
	{"127.255.255.254", true},
	{"168.63.129.16", true},
	{"169.254.169.254", true},
	{"169.254.170.2", true},
	{"172.16.0.1", true},
	{"172.31.255.255", true},
	{"192.0.0.8", true},
	{"192.0.2.1", true},
	{"192.88.99.1", true},
	{"192.168.0.1", true},
	{"198.18.0.1", true},
	{"198.19.255.255", true},
	{"198.51.100.1", true},
	{"203.0.113.1", true},
	{"224.0.0.1", true},
	{"239.1.1.1", true},
	{"240.0.0.1", true},
	{"255.255.255.255", true},
	{"::", true},
	{"::1", true},
	{"::7f00:1", true},
	{"::ffff:127.0.0.1", true},
	{"::ffff:10.1.2.3", true},
	{"::ffff:169.254.169.254", true},
	{"64:ff9b::10.0.0.1", true},
	{"64:ff9b::7f00:1", true},
	{"64:ff9b:1::1", true},
	{"2002:7f00:1::1", true},
	{"2002:a00:1::", true},
	{"2001::1", true},
	{"2001:db8::1", true},
	{"100::1", true},
	{"fc00::1", true},
	{"fd00:ec2::254", true},
	{"fe80::1", true},
	{"fec0::1", true},
	{"ff02::1", true},
};

START_TEST(test_address)
{
	char text[IP_ADDRESS_TEXT];
	struct ip_address a, again;

	ck_assert(ip_address_parse(addresses[_i].text, &a));
	ck_assert_msg((ip_address_forbidden(&a) != NULL) == addresses[_i].forbidden, "%s: %s",
		      addresses[_i].text, ip_address_forbidden(&a));
	ip_address_format(&a, text);
	ck_assert(ip_address_parse(text, &again));
	ck_assert(ip_address_equal(&a, &again));
}
END_TEST

START_TEST(test_no_address)
{
	static const char *const texts[] = {
		"",	    "1",	"127.1", "2130706433",	 "0x7f.1",    "0177.0.0.1",
		"1.2.3.4.", "1.2.3.4 ", "[::1]", "fe80::1%eth0", "1.2.3.256", "localhost"};
	struct ip_address a;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		ck_assert_msg(!ip_address_parse(texts[i], &a), "%s", texts[i]);
}
END_TEST

START_TEST(test_ranges)
{
	static const char *const bad[] = {"",
					  "/8",
					  "10.0.0.0/",
					  "10.0.0.0/33",
					  "10.0.0.0/8x",
					  "::/129",
					  "10.0.0.0/-1",
					  "10.0.0.0/ 8",
					  "name/8",
					  "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/8"};
	struct ip_range r;
	struct ip_address a;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(!ip_range_parse(bad[i], &r), "%s", bad[i]);
	ck_assert(ip_range_parse("10.128.0.0/9", &r));
	ck_assert(ip_address_parse("10.127.255.255", &a) && !ip_range_has(&r, &a));
	ck_assert(ip_address_parse("10.128.0.0", &a) && ip_range_has(&r, &a));
	ck_assert(ip_address_parse("::1", &a) && !ip_range_has(&r, &a));
	ck_assert(ip_range_parse("0.0.0.0/0", &r));
	ck_assert(ip_address_parse("200.1.1.1", &a) && ip_range_has(&r, &a));
	ck_assert(ip_range_parse("fd00::/8", &r));
	ck_assert(ip_address_parse("fdff::1", &a) && ip_range_has(&r, &a));
}
END_TEST

/* ---- hosts ---- */
START_TEST(test_hosts)
{
	static const struct {
		const char *text, *name;
		bool address;
	} good[] = {
		{"Example.ORG", "example.org", false},
		{"a_b.c-d.e", "a_b.c-d.e", false},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", false},
		{"1.2.3.4", "1.2.3.4", true},
		{"[::1]", "::1", true},
		{"[2001:DB8::0:1]", "2001:db8::1", true},
		{"4u.example", "4u.example", false},
		{"localhost", "localhost", false},
	};
	struct outbound_host h;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ck_assert_int_eq(outbound_host_parse(good[i].text, strlen(good[i].text), &h, &err),
				 0);
		ck_assert_str_eq(h.name, good[i].name);
		ck_assert(h.is_address == good[i].address);
	}
}
END_TEST

START_TEST(test_bad_hosts)
{
	static const char *const bad[] = {"",
					  ".",
					  "a.",
					  ".a",
					  "a..b",
					  "127.1",
					  "2130706433",
					  "0x7f000001",
					  "a.0x7f",
					  "1.2.3.4.5",
					  "1.2.3.999",
					  "0177.0.0.1",
					  "::1",
					  "[::1",
					  "[::1%lo]",
					  "[1.2.3.4]",
					  "[]",
					  "a b",
					  "user@host",
					  "host:80",
					  "b\303\274cher.de",
					  "a%2eb",
					  "a\\b",
					  "-a.b",
					  "a-.b",
					  "a/b",
					  "a#b",
					  "a?b",
					  "*.example.org"};
	char label[70], name[OUTBOUND_NAME_BYTES + 2];
	struct outbound_host h;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ck_assert_msg(outbound_host_parse(bad[i], strlen(bad[i]), &h, &err) == -ERR_INVALID,
			      "%s", bad[i]);
	ck_assert_int_eq(outbound_host_parse("a\0b", 3, &h, &err), -ERR_INVALID);
	for (size_t i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '.' : 'a';
	ck_assert_int_eq(outbound_host_parse(name, OUTBOUND_NAME_BYTES, &h, &err), 0);
	ck_assert_int_eq(outbound_host_parse(name, OUTBOUND_NAME_BYTES + 2, &h, &err),
			 -ERR_INVALID);
	ck_assert_ptr_nonnull(strstr(err.msg, "more than 253 bytes"));
	memset(label, 'a', sizeof(label));
	ck_assert_int_eq(outbound_host_parse(label, 63, &h, &err), 0);
	ck_assert_int_eq(outbound_host_parse(label, 64, &h, &err), -ERR_INVALID);
}
END_TEST

/* ---- holes and the worker's own services ---- */
static struct outbound *opened(const char *allow)
{
	char *setting;
	struct settings s;
	struct outbound *o;
	struct err err;

	ck_assert_int_ge(asprintf(&setting, "EGRESS_ALLOW=%s", allow), 0);
	char *env[] = {setting,
		       (char *)(uintptr_t) "CELERY_BROKER_URL=redis://:secret@127.0.0.1:6390/0",
		       (char *)(uintptr_t) "CELERY_RESULT_BACKEND=redis://127.0.0.1:6390/0",
		       (char *)(uintptr_t) "DATABASE_URL=postgresql://worker@localhost/app",
		       (char *)(uintptr_t) "CELERIAC_METRICS=127.0.0.1:9808",
		       NULL};
	ck_assert_int_eq(settings_load(env, &s, &err), 0);
	ck_assert_msg(outbound_open(&s, &o, &err) == 0, "%s", err.msg);
	settings_done(&s);
	free(setting);
	return o;
}

/* Both questions, as for a name that stands for that address. */
static bool open_for(struct outbound *o, enum outbound_scope scope, const char *host,
		     const char *address, uint16_t port)
{
	struct outbound_host h;
	struct ip_address a;
	struct err err;

	ck_assert_int_eq(outbound_host_parse(host, strlen(host), &h, &err), 0);
	ck_assert(ip_address_parse(address, &a));
	return outbound_check_host(o, scope, &h, port, &err) == 0 &&
	       outbound_check_address(o, scope, &h, &a, port, &err) == 0;
}

START_TEST(test_defaults)
{
	struct outbound *o = opened("");

	ck_assert(open_for(o, OUTBOUND_SANDBOX, "example.org", "93.184.216.34", 443));
	ck_assert(open_for(o, OUTBOUND_HTTP, "example.org", "93.184.216.34", 80));
	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "example.org", "93.184.216.34", 22));
	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "rebind.example", "127.0.0.1", 80));
	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "127.0.0.1", "127.0.0.1", 80));
	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "meta.example", "169.254.169.254", 80));
	outbound_close(o);
}
END_TEST

START_TEST(test_holes)
{
	struct outbound *o =
		opened("sandbox:10.1.0.0/16, http:api.internal:8080,"
		       "mcp:[fd00::7]:443,all:192.168.1.1:3000,sandbox:mirror.internal,"
		       "sandbox:10.9.0.0/16:5000");

	ck_assert(open_for(o, OUTBOUND_SANDBOX, "x.example", "10.1.2.3", 443));
	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "x.example", "10.1.2.3", 8080));
	ck_assert(!open_for(o, OUTBOUND_HTTP, "x.example", "10.1.2.3", 443));
	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "x.example", "10.2.0.1", 443));
	ck_assert(open_for(o, OUTBOUND_HTTP, "api.internal", "10.3.3.3", 8080));
	ck_assert(!open_for(o, OUTBOUND_HTTP, "api.internal", "10.3.3.3", 80));
	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "api.internal", "10.3.3.3", 8080));
	ck_assert(open_for(o, OUTBOUND_MCP, "[fd00::7]", "fd00::7", 443));
	ck_assert(open_for(o, OUTBOUND_MCP, "192.168.1.1", "192.168.1.1", 3000));
	ck_assert(open_for(o, OUTBOUND_SANDBOX, "mirror.internal", "172.16.0.9", 80));
	ck_assert(open_for(o, OUTBOUND_SANDBOX, "any.example", "10.9.1.1", 5000));
	/* a port that is open for some address is open for that one alone */
	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "any.example", "93.184.216.34", 5000));
	outbound_close(o);
}
END_TEST

START_TEST(test_own_services_stay_closed)
{
	struct outbound *o = opened("all:127.0.0.0/8:6390,all:127.0.0.0/8:9808,all:localhost:5432,"
				    "all:127.0.0.0/8:6391");

	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "127.0.0.1", "127.0.0.1", 6390));
	ck_assert(!open_for(o, OUTBOUND_SANDBOX, "other.example", "127.0.0.1", 6390));
	ck_assert(!open_for(o, OUTBOUND_HTTP, "127.0.0.1", "127.0.0.1", 9808));
	ck_assert(!open_for(o, OUTBOUND_MCP, "localhost", "127.0.0.1", 5432));
	ck_assert(!open_for(o, OUTBOUND_MCP, "other.example", "127.0.0.1", 5432));
	ck_assert(open_for(o, OUTBOUND_SANDBOX, "127.0.0.1", "127.0.0.1", 6391));
	outbound_close(o);
}
END_TEST

/* Of a database on several hosts each, however the URL names them. */
START_TEST(test_every_host_of_a_database_stays_closed)
{
	static const char *const urls[] = {
		"DATABASE_URL=postgresql://u:a,b@127.0.0.2:6001,127.0.0.3:6002/d",
		"DATABASE_URL=postgresql+psycopg2:///d?host=127.0.0.2,127.0.0.3&port=6001,6002",
		"DATABASE_URL=postgresql:///d?hostaddr=127.0.0.2,127.0.0.3&port=6001,6002"};

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		char *env[] = {(char *)(uintptr_t)urls[i],
			       (char *)(uintptr_t) "EGRESS_ALLOW=all:127.0.0.0/"
						   "8:6001,all:127.0.0.0/8:6002",
			       NULL};
		struct settings s;
		struct outbound *o;
		struct err err;

		ck_assert_int_eq(settings_load(env, &s, &err), 0);
		ck_assert_int_eq(outbound_open(&s, &o, &err), 0);
		ck_assert(!open_for(o, OUTBOUND_SANDBOX, "127.0.0.2", "127.0.0.2", 6001));
		ck_assert(!open_for(o, OUTBOUND_SANDBOX, "127.0.0.3", "127.0.0.3", 6002));
		ck_assert(open_for(o, OUTBOUND_SANDBOX, "127.0.0.3", "127.0.0.3", 6001));
		outbound_close(o);
		settings_done(&s);
	}
}
END_TEST

/* Results in a database: PostgreSQL's own port where the URL has none. */
START_TEST(test_database_of_results_stays_closed)
{
	static const char *const urls[] = {"db+postgresql://u:secret@127.0.0.2/d",
					   "database+postgresql+psycopg2://127.0.0.2/d"};

	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct settings s;
		struct outbound *o;
		struct err err;
		char *setting;

		ck_assert_int_ge(asprintf(&setting, "CELERY_RESULT_BACKEND=%s", urls[i]), 0);
		char *env[] = {setting, (char *)(uintptr_t) "EGRESS_ALLOW=all:127.0.0.0/8:5432",
			       NULL};
		ck_assert_int_eq(settings_load(env, &s, &err), 0);
		ck_assert_int_eq(outbound_open(&s, &o, &err), 0);
		ck_assert(!open_for(o, OUTBOUND_SANDBOX, "127.0.0.2", "127.0.0.2", 5432));
		ck_assert(open_for(o, OUTBOUND_SANDBOX, "127.0.0.3", "127.0.0.3", 5432));
		outbound_close(o);
		settings_done(&s);
		free(setting);
	}
}
END_TEST

/* Each by the port that its scheme has where the URL says none; what is no URL closes nothing. */
START_TEST(test_usual_ports)
{
	static const struct {
		const char *setting;
		uint16_t port;
	} rows[] = {
		{"CELERY_BROKER_URL=amqp://127.0.0.2//", 5672},
		{"CELERY_BROKER_URL=amqp://127.0.0.9;amqp://127.0.0.2//", 5672},
		{"CELERY_BROKER_URL=amqps://127.0.0.2", 5671},
		{"CELERY_BROKER_URL=sentinel://127.0.0.9;sentinel://127.0.0.2", 26379},
		{"CELERY_BROKER_URL=redis://127.0.0.2", 6379},
		{"CELERY_RESULT_BACKEND=redis://127.0.0.2", 6379},
		{"DOCKER_HOST=tcp://127.0.0.2", 2375},
		{"DOCKER_HOST=nowhere,tcp://127.0.0.2", 2375},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct settings s;
		struct outbound *o;
		struct err err;
		char *allow;

		ck_assert_int_ge(asprintf(&allow, "EGRESS_ALLOW=all:127.0.0.0/8:%u", rows[i].port),
				 0);
		char *env[] = {(char *)(uintptr_t)rows[i].setting, allow, NULL};
		ck_assert_int_eq(settings_load(env, &s, &err), 0);
		ck_assert_int_eq(outbound_open(&s, &o, &err), 0);
		ck_assert_msg(
			!open_for(o, OUTBOUND_SANDBOX, "127.0.0.2", "127.0.0.2", rows[i].port),
			"%s", rows[i].setting);
		ck_assert(open_for(o, OUTBOUND_SANDBOX, "127.0.0.3", "127.0.0.3", rows[i].port));
		outbound_close(o);
		settings_done(&s);
		free(allow);
	}
}
END_TEST

START_TEST(test_bad_holes)
{
	static const char *const bad[] = {
		"10.0.0.0/8",	  "web:10.0.0.1", "sandbox:",	     "sandbox:a:0",
		"sandbox:a:http", "all:*",	  "http:10.0.0.0/40"};
	struct settings s;
	struct outbound *o;
	struct err err;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *setting;

		ck_assert_int_ge(asprintf(&setting, "EGRESS_ALLOW=%s", bad[i]), 0);
		char *env[] = {setting, NULL};
		ck_assert_int_eq(settings_load(env, &s, &err), 0);
		ck_assert_msg(outbound_open(&s, &o, &err) == -ERR_INVALID, "%s", bad[i]);
		ck_assert(strstr(err.msg, bad[i]) != NULL);
		settings_done(&s);
		free(setting);
	}
}
END_TEST

/* ---- looking up ---- */
static int looked_up(const char *name, struct ip_address *a, size_t *n)
{
	struct lookup *l;
	struct err err;
	struct pollfd fd = {.events = POLLIN};
	int rc;

	ck_assert_int_eq(lookup_begin(name, &l, &err), 0);
	fd.fd = lookup_fd(l);
	ck_assert_int_eq(poll(&fd, 1, 60000), 1);
	rc = lookup_result(l, a, n, &err);
	lookup_free(l);
	return rc;
}

START_TEST(test_lookup)
{
	struct ip_address a[OUTBOUND_ADDRESSES];
	struct lookup *l;
	struct err err;
	size_t n;

	ck_assert_int_eq(looked_up("localhost", a, &n), 0);
	ck_assert_uint_ge(n, 1);
	ck_assert_str_eq(ip_address_forbidden(&a[0]), "loopback");
	ck_assert_int_eq(looked_up("nothing.invalid", a, &n), -ERR_NOTFOUND);
	/* given up before it is over */
	ck_assert_int_eq(lookup_begin("localhost", &l, &err), 0);
	lookup_free(l);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("outbound");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_address, 0, ARRAY_LEN(addresses));
	tcase_add_test(t, test_no_address);
	tcase_add_test(t, test_ranges);
	tcase_add_test(t, test_hosts);
	tcase_add_test(t, test_bad_hosts);
	tcase_add_test(t, test_defaults);
	tcase_add_test(t, test_holes);
	tcase_add_test(t, test_own_services_stay_closed);
	tcase_add_test(t, test_every_host_of_a_database_stays_closed);
	tcase_add_test(t, test_database_of_results_stays_closed);
	tcase_add_test(t, test_usual_ports);
	tcase_add_test(t, test_bad_holes);
	tcase_add_test(t, test_lookup);
	return suite_run("outbound", t);
}
