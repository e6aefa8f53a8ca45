/*
 * certificate.c: who a certificate names, what its key is, when it holds.
 */
#include "certificate.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mem.h"

#define KEY_BITS_LEAST 2048
#define ID_MAX	       1024

const char *certificate_why(char *out, size_t size)
{
	ERR_error_string_n(ERR_peek_last_error(), out, size);
	ERR_clear_error();
	return out;
}

/* "Organisation example.com 1234": the issuer's values in their order, then the serial number. */
static int make_id(const X509 *x, struct buf *out, struct err *err)
{
	X509_NAME *issuer = X509_get_issuer_name(x);
	BIGNUM *serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber((X509 *)(uintptr_t)x), NULL);
	char *digits = serial ? BN_bn2dec(serial) : NULL;

	for (int i = 0; i < X509_NAME_entry_count(issuer); i++) {
		unsigned char *text = NULL;
		int len = ASN1_STRING_to_UTF8(
			&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(issuer, i)));

		if (i > 0)
			buf_append_char(out, ' ');
		if (len > 0)
			buf_append(out, text, (size_t)len);
		OPENSSL_free(text);
	}
	buf_appendf(out, " %s", digits ? digits : "");
	if (digits == NULL)
		buf_fail(out, ERR_NOMEM);
	OPENSSL_free(digits);
	BN_free(serial);
	return buf_status(out, err);
}

int certificate_check_key(const EVP_PKEY *key, struct err *err)
{
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA)
		return err_set(err, ERR_INVALID, "its key is not RSA");
	if (EVP_PKEY_get_bits(key) < KEY_BITS_LEAST)
		return err_set(err, ERR_INVALID, "its key has %d bits, at least %d are trusted",
			       EVP_PKEY_get_bits(key), KEY_BITS_LEAST);
	return 0;
}

static bool read_time(const ASN1_TIME *t, usec_t *ret)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1)
		return false;
	*ret = (usec_t)timegm(&tm) * USEC_PER_SEC;
	return true;
}

static int fill(struct certificate *c, X509 *x, struct err *err)
{
	_cleanup_buf_ struct buf id = BUF_INIT(ID_MAX);
	int rc;

	if (!read_time(X509_get0_notBefore(x), &c->not_before) ||
	    !read_time(X509_get0_notAfter(x), &c->until))
		return err_set(err, ERR_INVALID, "its dates cannot be read");
	c->key = X509_get_pubkey(x);
	if (c->key == NULL)
		return err_set(err, ERR_INVALID, "its key cannot be read");
	rc = certificate_check_key(c->key, err);
	if (rc == 0)
		rc = make_id(x, &id, err);
	return rc < 0 ? rc : buf_take(&id, &c->id, NULL, err);
}

int certificate_parse(struct slice pem, struct certificate **ret, struct err *err)
{
	BIO *in = BIO_new_mem_buf(pem.data, (int)pem.len);
	X509 *x = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
	struct certificate *c = xcalloc(1, sizeof(*c));
	char why[128];
	int rc = x ? fill(c, x, err)
		   : err_set(err, ERR_INVALID, "no certificate in PEM: %s",
			     certificate_why(why, sizeof(why)));

	X509_free(x);
	BIO_free(in);
	ERR_clear_error();
	if (rc < 0)
		certificate_free(c);
	else
		*ret = c;
	return rc;
}

void certificate_free(struct certificate *c)
{
	if (c == NULL)
		return;
	EVP_PKEY_free(c->key);
	free(c->id);
	free(c);
}

int certificate_check_time(const struct certificate *c, struct err *err)
{
	usec_t now = clock_wall();

	if (now >= c->until)
		return err_set(err, ERR_DENIED, "Expired certificate: '%.120s'", c->id);
	if (now < c->not_before)
		return err_set(err, ERR_DENIED, "Certificate that is not valid yet: '%.120s'",
			       c->id);
	return 0;
}
