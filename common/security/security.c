/*
 * security.c: the set of the process: our key, our certificate, and those of everybody who may
 * sign. See security.h.
 */
#include "security.h"

#include <glob.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "bounds.h"
#include "certificate.h"
#include "file.h"
#include "mem.h"

struct security {
	EVP_PKEY *key; /* private */
	struct certificate *own;
	struct certificate **known;
	size_t count;
	const EVP_MD *digest;
	bool old_form;
};

/* Set before the first thread, then only read. */
static struct security *g_security;

/* Celery's names of digests (those of cryptography's hashes), and OpenSSL's. */
static const struct {
	const char *name, *digest;
} g_digests[] = {
	{"sha256", "SHA256"},	  {"sha224", "SHA224"},		{"sha384", "SHA384"},
	{"sha512", "SHA512"},	  {"sha512_224", "SHA512-224"}, {"sha512_256", "SHA512-256"},
	{"sha3_224", "SHA3-224"}, {"sha3_256", "SHA3-256"},	{"sha3_384", "SHA3-384"},
	{"sha3_512", "SHA3-512"},
};

static int find_digest(const char *name, const EVP_MD **ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(g_digests); i++) {
		if (strcasecmp(name, g_digests[i].name) != 0)
			continue;
		*ret = EVP_get_digestbyname(g_digests[i].digest);
		if (*ret != NULL)
			return 0;
	}
	return err_set(
		err, ERR_INVALID,
		"CELERY_SECURITY_DIGEST: %.40s is not one of sha224, sha256, sha384, sha512, "
		"sha512_224, sha512_256, sha3_224, sha3_256, sha3_384, sha3_512",
		name);
}

/* Never asks at a terminal, as the library would. */
static int give_password(char *out, int size, int writing, void *password)
{
	size_t len = strlen(password);

	(void)writing;
	if (len == 0 || len > (size_t)size)
		return -1;
	memcpy(out, password, len);
	return (int)len;
}

static int read_key(struct security *sec, const struct settings *s, struct err *err)
{
	char *pem = NULL;
	size_t len = 0;
	BIO *in;
	int rc = file_read(s->security_key, BOUND_PEM_FILE, &pem, &len, err);

	if (rc < 0)
		return rc;
	in = BIO_new_mem_buf(pem, (int)len);
	if (in != NULL)
		sec->key = PEM_read_bio_PrivateKey(in, NULL, give_password,
						   (void *)(uintptr_t)s->security_key_password);
	BIO_free(in);
	wipe(pem, len);
	free(pem);
	ERR_clear_error(); /* what it says may hold parts of the file */
	return sec->key ? certificate_check_key(sec->key, err)
			: err_set(err, ERR_INVALID,
				  "no private key in PEM, or not with that password");
}

static int read_certificate(const char *path, struct certificate **ret, struct err *err)
{
	_cleanup_free_ char *pem = NULL;
	size_t len = 0;
	int rc = file_read(path, BOUND_PEM_FILE, &pem, &len, err);

	if (rc == 0)
		rc = certificate_parse((struct slice){pem, len}, ret, err);
	return rc < 0 ? err_wrap(err, "%.160s", path) : 0;
}

static const struct certificate *find(const struct security *sec, struct slice id)
{
	for (size_t i = 0; i < sec->count; i++) {
		const char *name = sec->known[i]->id;

		if (strlen(name) == id.len && memcmp(name, id.data, id.len) == 0)
			return sec->known[i];
	}
	return NULL;
}

static int add_known(struct security *sec, const char *path, struct buf *notes, struct err *err)
{
	struct certificate *c = NULL;
	struct err why;
	int rc = read_certificate(path, &c, err);

	if (rc < 0)
		return rc;
	if (find(sec, slice_of(c->id)) != NULL) {
		rc = err_set(err, ERR_INVALID, "%.160s: Duplicate certificate: '%.60s'", path,
			     c->id);
		certificate_free(c);
		return rc;
	}
	if (certificate_check_time(c, &why) < 0)
		buf_appendf(notes, "CELERY_SECURITY_CERT_STORE: %s: %s\n", path, why.msg);
	sec->known = xrealloc(sec->known, (sec->count + 1) * sizeof(struct certificate *));
	sec->known[sec->count++] = c;
	return 0;
}

/* A directory, or a pattern of names, as Celery takes it. */
static int read_store(struct security *sec, const char *path, struct buf *notes, struct err *err)
{
	_cleanup_free_ char *pattern = NULL;
	struct stat st;
	glob_t found = {0};
	int rc = 0;

	pattern = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? xasprintf("%s/*", path)
							      : xstrdup(path);
	if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > BOUND_CERTIFICATES)
		rc = err_set(err, ERR_TOOBIG, "%zu files, at most %d are read", found.gl_pathc,
			     BOUND_CERTIFICATES);
	for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
		rc = add_known(sec, found.gl_pathv[i], notes, err);
	globfree(&found);
	if (rc == 0 && sec->count == 0)
		rc = err_set(err, ERR_INVALID, "there is no certificate at %.160s", path);
	return rc;
}

static void release(struct security *sec)
{
	if (sec == NULL)
		return;
	EVP_PKEY_free(sec->key);
	certificate_free(sec->own);
	for (size_t i = 0; i < sec->count; i++)
		certificate_free(sec->known[i]);
	free(sec->known);
	free(sec);
}

static int check_own(const struct security *sec, struct err *err)
{
	struct err why;

	if (certificate_check_time(sec->own, &why) < 0)
		return err_set(err, ERR_INVALID, "%s", why.msg);
	if (EVP_PKEY_eq(sec->key, sec->own->key) != 1)
		return err_set(err, ERR_INVALID, "it is not that of CELERY_SECURITY_KEY");
	return 0;
}

static int load(struct security *sec, const struct settings *s, struct buf *notes, struct err *err)
{
	int rc = find_digest(s->security_digest, &sec->digest, err);

	if (rc < 0)
		return rc;
	rc = read_key(sec, s, err);
	if (rc < 0)
		return err_wrap(err, "CELERY_SECURITY_KEY");
	rc = read_certificate(s->security_certificate, &sec->own, err);
	if (rc == 0)
		rc = check_own(sec, err);
	if (rc < 0)
		return err_wrap(err, "CELERY_SECURITY_CERTIFICATE");
	rc = read_store(sec, s->security_cert_store, notes, err);
	return rc < 0 ? err_wrap(err, "CELERY_SECURITY_CERT_STORE") : 0;
}

int security_open(const struct settings *s, struct buf *notes, struct err *err)
{
	struct security *sec;
	int rc;

	if (!*s->security_key || !*s->security_certificate || !*s->security_cert_store)
		return err_set(err, ERR_INVALID,
			       "the auth serializer needs CELERY_SECURITY_KEY, "
			       "CELERY_SECURITY_CERTIFICATE and CELERY_SECURITY_CERT_STORE");
	sec = xcalloc(1, sizeof(*sec));
	sec->old_form = strcmp(s->security_form, "5.4") == 0;
	rc = load(sec, s, notes, err);
	if (rc < 0) {
		release(sec);
		return rc;
	}
	security_close();
	g_security = sec;
	return 0;
}

void security_close(void)
{
	release(TAKE(g_security));
}

bool security_is_open(void)
{
	return g_security != NULL;
}

const struct certificate *security_find(struct slice id)
{
	return g_security ? find(g_security, id) : NULL;
}

const char *security_id(const struct certificate *c)
{
	return c->id;
}

size_t security_signature_size(const struct certificate *c)
{
	return (size_t)EVP_PKEY_get_size(c->key);
}

const struct certificate *security_own(void)
{
	return g_security ? g_security->own : NULL;
}

bool security_old_form(void)
{
	return g_security && g_security->old_form;
}

/* MGF1 takes the same digest by itself. */
static bool set_padding(EVP_PKEY_CTX *p)
{
	return EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_MAX) == 1;
}

int security_verify(const struct certificate *c, struct slice body, struct slice signature,
		    struct err *err)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p = NULL;
	bool good = md != NULL &&
		    EVP_DigestVerifyInit(md, &p, g_security->digest, NULL, c->key) == 1 &&
		    set_padding(p) &&
		    EVP_DigestVerify(md, (const unsigned char *)signature.data, signature.len,
				     (const unsigned char *)body.data, body.len) == 1;

	EVP_MD_CTX_free(md);
	ERR_clear_error();
	return good ? certificate_check_time(c, err)
		    : err_set(err, ERR_DENIED, "Bad signature: not by '%.120s'", c->id);
}

int security_sign(struct slice body, struct buf *out, struct err *err)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *p = NULL;
	size_t len = security_signature_size(g_security->own);
	char *room = buf_reserve(out, len);
	bool good = md != NULL && room != NULL &&
		    EVP_DigestSignInit(md, &p, g_security->digest, NULL, g_security->key) == 1 &&
		    set_padding(p) &&
		    EVP_DigestSign(md, (unsigned char *)room, &len,
				   (const unsigned char *)body.data, body.len) == 1;

	EVP_MD_CTX_free(md);
	ERR_clear_error();
	if (!good)
		return err_set(err, ERR_FAILED, "Unable to sign data");
	buf_added(out, len);
	return 0;
}
