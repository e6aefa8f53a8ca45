/* Signed messages: as Celery itself sent them (tests/data/messages), as we write them, and with
 * everything about them that can be wrong. */
#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bounds.h"
#include "codec.h"
#include "common/wire/content.h"
#include "event.h"
#include "json.h"
#include "mem.h"
#include "message.h"
#include "security.h"
#include "serial.h"
#include "tests/unit/suite.h"

#define DAY_SECONDS 86400L
#define OWN_ID	    "Celeriac test 7"

static char g_dir[] = "/tmp/celeriac-auth-XXXXXX";
static char g_auth[] = "auth";
static char *g_accepted[] = {g_auth};
static const struct str_list g_accept = {g_accepted, ARRAY_LEN(g_accepted)};
static const char *const g_versions[] = {"5.2.6", "5.5.3", "5.7.0"};
static struct settings g_settings;
static char g_paths[3][256];
static EVP_PKEY *g_own;
static struct err g_err;

static FILE *create(const char *name)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", g_dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	return f;
}

/* A certificate of `key`, that holds from `from` to `to` seconds of now. */
static void make_certificate(EVP_PKEY *key, const char *cert_name, long serial, long from, long to)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	FILE *f;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	X509_gmtime_adj(X509_getm_notBefore(x), from);
	X509_gmtime_adj(X509_getm_notAfter(x), to);
	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8, (const unsigned char *)"Celeriac", -1,
				   -1, 0);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"test", -1, -1,
				   0);
	X509_set_issuer_name(x, name);
	X509_set_pubkey(x, key);
	ck_assert_int_gt(X509_sign(x, key, EVP_sha256()), 0);
	f = create(cert_name);
	PEM_write_X509(f, x);
	fclose(f);
	X509_free(x);
}

static void make_key(EVP_PKEY *key, const char *name)
{
	FILE *f = create(name);

	PEM_write_PrivateKey(f, key, EVP_aes_256_cbc(), NULL, 0, NULL, (void *)(uintptr_t) "open");
	fclose(f);
}

static void add_recorded(const char *version)
{
	char path[256], name[64];
	_cleanup_buf_ struct buf b = BUF_INIT(65536);
	FILE *f;

	snprintf(path, sizeof(path), "tests/data/messages/celery-%s/auth.pem", version);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "run from the top of the tree");
	buf_added(&b, fread(buf_reserve(&b, 32768), 1, 32768, f));
	fclose(f);
	snprintf(name, sizeof(name), "recorded-%s.pem", version);
	f = create(name);
	fwrite(b.data, 1, b.len, f);
	fclose(f);
}

static int reopen(void)
{
	_cleanup_buf_ struct buf notes = BUF_INIT(BOUND_ERROR_TEXT * 4);

	return serial_open(&g_settings, &notes, &g_err);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(g_dir));
	g_own = EVP_RSA_gen(2048);
	make_key(g_own, "own.key");
	make_certificate(g_own, "own.pem", 7, -DAY_SECONDS, DAY_SECONDS);
	for (size_t i = 0; i < ARRAY_LEN(g_versions); i++)
		add_recorded(g_versions[i]);
	snprintf(g_paths[0], sizeof(g_paths[0]), "%s/own.key", g_dir);
	snprintf(g_paths[1], sizeof(g_paths[1]), "%s/own.pem", g_dir);
	snprintf(g_paths[2], sizeof(g_paths[2]), "%s/*.pem", g_dir);
	g_settings = (struct settings){.accept_content = g_accept,
				       .task_serializer = "auth",
				       .result_serializer = "json",
				       .event_serializer = "json",
				       .security_key = g_paths[0],
				       .security_key_password = "open",
				       .security_certificate = g_paths[1],
				       .security_cert_store = g_paths[2],
				       .security_digest = "SHA256",
				       .security_form = "5.5"};
	ck_assert_msg(reopen() == 0, "%s", g_err.msg);
}

static void teardown(void)
{
	DIR *dir = opendir(g_dir);
	char path[512];

	security_close();
	EVP_PKEY_free(g_own);
	for (struct dirent *d; (d = readdir(dir)) != NULL;) {
		snprintf(path, sizeof(path), "%s/%s", g_dir, d->d_name);
		unlink(path);
	}
	closedir(dir);
	rmdir(g_dir);
}

static enum message_verdict decode(const struct buf *b, struct message **ret)
{
	char id[BOUND_TASK_NAME_BYTES + 1], task[BOUND_TASK_NAME_BYTES + 1];

	*ret = NULL;
	return message_decode(b->data, b->len, &g_accept, ret, id, task, &g_err);
}

static json_t *recording(const char *version)
{
	char path[256];
	json_t *root;

	snprintf(path, sizeof(path), "tests/data/messages/celery-%s/auth.json", version);
	root = json_load_file(path, 0, NULL);
	ck_assert_ptr_nonnull(root);
	return root;
}

/* The envelope with another body: what the base64 inside the base64 holds. */
static enum message_verdict decode_payload(json_t *root, const char *data, size_t len,
					   struct message **ret)
{
	_cleanup_buf_ struct buf inner = BUF_INIT(65536), outer = BUF_INIT(65536),
				 text = BUF_INIT(65536);

	base64_encode(data, len, &inner);
	base64_encode(inner.data, inner.len, &outer);
	json_object_set_new(root, "body", json_string(outer.data));
	json_dump_python(root, &text);
	return decode(&text, ret);
}

static void payload(const json_t *root, struct buf *out)
{
	_cleanup_buf_ struct buf inner = BUF_INIT(65536);
	const char *text = json_member_str(root, "body");

	ck_assert_int_eq(base64_decode(text, strlen(text), &inner, &g_err), 0);
	ck_assert_int_eq(base64_decode(inner.data, inner.len, out, &g_err), 0);
}

static bool says_hello(const struct message *m)
{
	_cleanup_buf_ struct buf b = BUF_INIT(65536);

	json_dump_python(m->args, &b);
	json_dump_python(m->kwargs, &b);
	return strcmp(b.data, "[\"hello\"]{\"k\": \"gr\\u00fc\\u00df\"}") == 0;
}

START_TEST(test_recorded)
{
	_cleanup_json_ json_t *root = recording(g_versions[_i]), *headers = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT(65536), again = BUF_INIT(65536);
	char signer[128];
	struct message *m, *twice;
	struct message_out out;

	snprintf(signer, sizeof(signer), "Gr\xc3\xbcn & Co recorded by %s 1180591620717411308135",
		 g_versions[_i]);
	json_dump_python(root, &b);
	ck_assert_msg(decode(&b, &m) == MESSAGE_OK, "%s", g_err.msg);
	ck_assert(says_hello(m));
	ck_assert_str_eq(m->serializer, "auth");
	ck_assert_str_eq(m->signer, signer);
	/* A retry is signed by us. */
	ck_assert_int_eq(message_retry(m, 1, 0, &headers, &out, &g_err), 0);
	ck_assert_int_eq(message_encode(&out, &again, &g_err), 0);
	ck_assert_msg(decode(&again, &twice) == MESSAGE_OK, "%s", g_err.msg);
	ck_assert(says_hello(twice));
	ck_assert_str_eq(twice->signer, OWN_ID);
	message_free(twice);
	message_free(m);
}
END_TEST

/* With any bit changed it is refused, or what runs is what was signed. */
START_TEST(test_mutations)
{
	_cleanup_json_ json_t *root = recording(g_versions[_i]);
	_cleanup_buf_ struct buf b = BUF_INIT(65536);
	int refused = 0;

	payload(root, &b);
	for (size_t at = 0; at < b.len; at++) {
		struct message *m = NULL;
		char was = b.data[at];

		b.data[at] = (char)(was ^ 1 << at % 8);
		if (decode_payload(root, b.data, b.len, &m) == MESSAGE_OK)
			ck_assert(says_hello(m));
		else
			refused++;
		message_free(m);
		b.data[at] = was;
	}
	ck_assert_int_ge(refused, (int)b.len - 40);
	for (size_t len = 0; len < b.len; len += 7) {
		struct message *m = NULL;

		ck_assert_int_ne(decode_payload(root, b.data, len, &m), MESSAGE_OK);
	}
}
END_TEST

static enum message_verdict ours(const char *serializer, struct message **ret)
{
	_cleanup_json_ json_t *args = json_pack("[s]", "hi");
	_cleanup_buf_ struct buf b = BUF_INIT(65536);
	const struct message_out out = {
		.task = "t", .id = "i", .queue = "q", .args = args, .serializer = serializer};

	ck_assert_int_eq(message_encode(&out, &b, &g_err), 0);
	return decode(&b, ret);
}

START_TEST(test_written)
{
	struct message *m;

	g_settings.security_form = _i == 0 ? "5.5" : "5.4";
	g_settings.security_digest = _i == 0 ? "sha256" : "sha512_256";
	ck_assert_msg(reopen() == 0, "%s", g_err.msg);
	ck_assert_msg(ours(NULL, &m) == MESSAGE_OK, "%s", g_err.msg);
	ck_assert_str_eq(m->signer, OWN_ID);
	message_free(m);
	ck_assert_int_eq(ours("json", &m), MESSAGE_DISALLOWED);
	ck_assert_ptr_nonnull(strstr(g_err.msg, "json"));
}
END_TEST

/* Whose message it is, and no longer may be. */
START_TEST(test_who)
{
	static const struct {
		bool same_key;
		long from, to;
		const char *said;
	} rows[] = {
		{true, -2 * DAY_SECONDS, -DAY_SECONDS, "Expired certificate: 'Celeriac test 7'"},
		{true, DAY_SECONDS, 2 * DAY_SECONDS, "not valid yet: 'Celeriac test 7'"},
		{false, -DAY_SECONDS, DAY_SECONDS, "Bad signature: not by 'Celeriac test 7'"}};
	_cleanup_json_ json_t *args = json_pack("[s]", "hi");
	_cleanup_buf_ struct buf b = BUF_INIT(65536);
	const struct message_out out = {.task = "t", .id = "i", .queue = "q", .args = args};
	EVP_PKEY *second = EVP_RSA_gen(2048);
	struct message *m;

	ck_assert_int_eq(message_encode(&out, &b, &g_err), 0);
	make_certificate(rows[_i].same_key ? g_own : second, "own.pem", 7, rows[_i].from,
			 rows[_i].to);
	make_key(second, "second.key");
	make_certificate(second, "second.pem", 8, -DAY_SECONDS, DAY_SECONDS);
	EVP_PKEY_free(second);
	snprintf(g_paths[0], sizeof(g_paths[0]), "%s/second.key", g_dir);
	snprintf(g_paths[1], sizeof(g_paths[1]), "%s/second.pem", g_dir);
	ck_assert_msg(reopen() == 0, "%s", g_err.msg);
	ck_assert_int_eq(decode(&b, &m), MESSAGE_UNTRUSTED);
	ck_assert_msg(strstr(g_err.msg, rows[_i].said) != NULL, "%s", g_err.msg);
	snprintf(g_paths[2], sizeof(g_paths[2]), "%s/second.pem", g_dir);
	ck_assert_int_eq(reopen(), 0);
	ck_assert_int_eq(decode(&b, &m), MESSAGE_UNTRUSTED);
	ck_assert_msg(strstr(g_err.msg, "Unknown certificate: 'Celeriac test 7'") != NULL, "%s",
		      g_err.msg);
}
END_TEST

/* Signed all the same: it is of no type that is read. */
START_TEST(test_inner_type)
{
	static const char *const types[] = {
		"application/x-python-serialize",
		"application/data",
		"text/plain",
		"application/x-unheard-of",
		"",
		"application/a-name-that-is-longer-than-any-content-type-of-ours-is"};
	_cleanup_json_ json_t *root = recording("5.7.0");
	_cleanup_buf_ struct buf b = BUF_INIT(65536), changed = BUF_INIT(65536);
	struct message *m;
	const char *at;

	payload(root, &b);
	at = memmem(b.data, b.len, "application/json", 16);
	ck_assert_ptr_nonnull(at);
	buf_append(&changed, b.data, (size_t)(at - b.data));
	buf_append_str(&changed, types[_i]);
	buf_append(&changed, at + 16, b.len - (size_t)(at - b.data) - 16);
	ck_assert_int_eq(decode_payload(root, changed.data, changed.len, &m), MESSAGE_DISALLOWED);
}
END_TEST

/* What is accepted beside what is signed is told. */
START_TEST(test_accepts_more)
{
	static char auth[] = "auth", json[] = "json";
	static char *names[] = {auth, json};
	_cleanup_buf_ struct buf notes = BUF_INIT(4096);
	struct settings s = g_settings;

	s.accept_content = (struct str_list){.items = names, .count = 1};
	ck_assert_msg(serial_open(&s, &notes, &g_err) == 0, "%s", g_err.msg);
	ck_assert(notes.data == NULL || !strstr(notes.data, "CELERY_ACCEPT_CONTENT"));
	s.accept_content.count = 2;
	ck_assert_int_eq(serial_open(&s, &notes, &g_err), 0);
	ck_assert_ptr_nonnull(strstr(notes.data, "CELERY_ACCEPT_CONTENT names more than auth"));
}
END_TEST

/* Events are signed as messages are, and what is no base64 is no signed content. */
START_TEST(test_events)
{
	static const char event[] = "{\"type\": \"worker-online\"}";
	_cleanup_buf_ struct buf out = BUF_INIT(65536), body = BUF_INIT(65536);
	_cleanup_json_ json_t *root = NULL, *value = NULL;
	const char *sent, *signer;

	ck_assert_int_eq(reopen(), 0);
	ck_assert_int_eq(event_envelope("auth", (struct slice){event, sizeof(event) - 1},
					"celeryev", "worker.online", "w@h", &out, &g_err),
			 0);
	ck_assert_int_eq(json_load_strict(out.data, out.len, &root, &g_err), 0);
	ck_assert_str_eq(json_member_str(root, "content-type"), "application/data");
	sent = json_member_str(root, "body");
	ck_assert_int_eq(base64_decode(sent, strlen(sent), &body, &g_err), 0);
	ck_assert_int_eq(auth_open(body.data, body.len, &value, &signer, &g_err), 0);
	ck_assert_str_eq(signer, OWN_ID);
	ck_assert_str_eq(json_member_str(value, "type"), "worker-online");
	json_decref(TAKE(value));
	ck_assert_int_eq(auth_read(body.data, body.len, &value, &g_err), 0);
	ck_assert_str_eq(json_member_str(value, "type"), "worker-online");
	ck_assert_int_eq(auth_read("%", 1, &value, &g_err), -ERR_DENIED);
}
END_TEST

START_TEST(test_settings)
{
	static const char *const said[] = {
		"needs CELERY_SECURITY_KEY",
		"CELERY_SECURITY_KEY: no private key",
		"not that of CELERY_SECURITY_KEY",
		"CELERY_SECURITY_CERT_STORE: there is no certificate",
		"Duplicate certificate",
		"CELERY_SECURITY_DIGEST: md5",
		"at least 2048",
		"Expired certificate",
		"no certificate in PEM",
		"CELERY_TASK_SERIALIZER: pickle",
	};
	struct settings *s = &g_settings;

	EVP_PKEY *other = EVP_RSA_gen(_i == 6 ? 1024 : 2048);

	if (_i == 0)
		s->security_key = "";
	else if (_i == 1)
		s->security_key_password = "wrong";
	else if (_i == 2)
		make_key(other, "own.key");
	else if (_i == 3)
		s->security_cert_store = "/nowhere/*";
	else if (_i == 4 || _i == 6)
		make_certificate(other, "zzz.pem", _i == 4 ? 7 : 9, -DAY_SECONDS, DAY_SECONDS);
	else if (_i == 5)
		s->security_digest = "md5";
	else if (_i == 7)
		make_certificate(g_own, "own.pem", 7, -2 * DAY_SECONDS, -DAY_SECONDS);
	else if (_i == 8)
		fclose(create("empty.pem"));
	else
		s->task_serializer = "pickle";
	EVP_PKEY_free(other);
	ck_assert_int_eq(reopen(), -ERR_INVALID);
	ck_assert_msg(strstr(g_err.msg, said[_i]) != NULL, "%s", g_err.msg);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("auth");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_recorded, 0, ARRAY_LEN(g_versions));
	tcase_add_loop_test(t, test_mutations, 0, ARRAY_LEN(g_versions));
	tcase_add_loop_test(t, test_written, 0, 2);
	tcase_add_loop_test(t, test_who, 0, 3);
	tcase_add_loop_test(t, test_inner_type, 0, 6);
	tcase_add_test(t, test_events);
	tcase_add_test(t, test_accepts_more);
	tcase_add_loop_test(t, test_settings, 0, 10);
	return suite_run("auth", t);
}
