/*
 * seal.c: sealing and opening, by OpenSSL's AES-256-GCM.
 */
#include "seal.h"

#include <openssl/evp.h>
#include <string.h>

#include "codec.h"
#include "mem.h"

#define VERSION	    "v1:"
#define NONCE_BYTES 12
#define TAG_BYTES   16
#define SECRET_MAX  (1u << 20)

static int parse_key(const char *text, size_t len, struct seal_keys *k, struct err *err)
{
	_cleanup_buf_ struct buf key = BUF_INIT(SEAL_KEY_BYTES);
	char digest[SHA256_HEX_SIZE];
	struct err why;

	if (k->count == SEAL_KEYS)
		return err_set(err, ERR_INVALID, "SECRETS_ENCRYPTION_KEY: more than %d keys",
			       SEAL_KEYS);
	int rc = base64_decode(text, len, &key, &why);
	if (rc == 0)
		rc = buf_status(&key, &why);
	if (rc == -ERR_NOMEM)
		return err_set(err, ERR_NOMEM, "SECRETS_ENCRYPTION_KEY: %s", why.msg);
	if (rc < 0 || key.len != SEAL_KEY_BYTES) {
		wipe(key.data, key.len);
		return err_set(err, ERR_INVALID,
			       "SECRETS_ENCRYPTION_KEY: key %zu is not the base64 of %d bytes",
			       k->count + 1, SEAL_KEY_BYTES);
	}
	memcpy(k->key[k->count], key.data, SEAL_KEY_BYTES);
	sha256_hex(key.data, key.len, digest);
	memcpy(k->id[k->count], digest, 8);
	k->id[k->count++][8] = '\0';
	wipe(key.data, key.len);
	return 0;
}

int seal_keys_parse(const char *text, struct seal_keys *ret, struct err *err)
{
	struct seal_keys k = {0};
	int rc = 0;

	while (rc == 0 && text && *text) {
		size_t len = strcspn(text, ",");
		rc = parse_key(text, len, &k, err);
		text += len + (text[len] == ',');
	}
	if (rc == 0)
		*ret = k;
	seal_keys_wipe(&k);
	return rc;
}

void seal_keys_wipe(struct seal_keys *k)
{
	wipe(k, sizeof(*k));
}

bool seal_is_sealed(const char *text)
{
	return strncmp(text, VERSION, strlen(VERSION)) == 0 && strchr(text + strlen(VERSION), ':');
}

/* One pass of the cipher; `tag` is written when sealing, checked when opening. */
static bool crypt(const unsigned char *key, const unsigned char *nonce, const char *place,
		  const void *in, size_t len, unsigned char *out, unsigned char *tag, bool sealing)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int n = 0, last = 0, enc = sealing ? 1 : 0;
	bool ok = c && EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, nonce, enc) == 1 &&
		  EVP_CipherUpdate(c, NULL, &n, (const unsigned char *)place, (int)strlen(place)) ==
			  1 &&
		  EVP_CipherUpdate(c, out, &n, in, (int)len) == 1;

	if (ok && !sealing)
		ok = EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) == 1;
	ok = ok && EVP_CipherFinal_ex(c, out + n, &last) == 1;
	if (ok && sealing)
		ok = EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, tag) == 1;
	EVP_CIPHER_CTX_free(c);
	return ok;
}

int seal(const struct seal_keys *k, const char *place, const void *secret, size_t len,
	 struct buf *out, struct err *err)
{
	if (k->count == 0)
		return err_set(err, ERR_UNSUPPORTED, "SECRETS_ENCRYPTION_KEY is not set");
	if (len > SECRET_MAX)
		return err_set(err, ERR_TOOBIG, "a secret of more than %u bytes", SECRET_MAX);
	_cleanup_free_ unsigned char *raw = xmalloc(NONCE_BYTES + len + TAG_BYTES);
	random_bytes(raw, NONCE_BYTES);
	if (!crypt(k->key[0], raw, place, secret, len, raw + NONCE_BYTES, raw + NONCE_BYTES + len,
		   true))
		return err_set(err, ERR_FAILED, "sealing failed");
	buf_appendf(out, VERSION "%s:", k->id[0]);
	base64_encode(raw, NONCE_BYTES + len + TAG_BYTES, out);
	return buf_status(out, err);
}

static const unsigned char *find_key(const struct seal_keys *k, const char *id, size_t len)
{
	for (size_t i = 0; i < k->count; i++)
		if (len == strlen(k->id[i]) && memcmp(k->id[i], id, len) == 0)
			return k->key[i];
	return NULL;
}

int seal_open(const struct seal_keys *k, const char *place, const char *text, struct buf *out,
	      struct err *err)
{
	_cleanup_buf_ struct buf raw = BUF_INIT(SECRET_MAX + NONCE_BYTES + TAG_BYTES);
	struct err why;

	if (!seal_is_sealed(text))
		return err_set(err, ERR_INVALID, "%s is not sealed", place);
	const char *id = text + strlen(VERSION);
	size_t id_len = strcspn(id, ":");
	const unsigned char *key = find_key(k, id, id_len);
	if (!key)
		return err_set(
			err, ERR_UNSUPPORTED,
			"%s is sealed with the key %.8s, which SECRETS_ENCRYPTION_KEY does not "
			"hold",
			place, id);
	int rc = base64_decode(id + id_len + 1, strlen(id + id_len + 1), &raw, &why);
	if (rc == 0)
		rc = buf_status(&raw, &why);
	if (rc == -ERR_NOMEM)
		return err_set(err, ERR_NOMEM, "%s: %s", place, why.msg);
	if (rc < 0 || raw.len < NONCE_BYTES + TAG_BYTES)
		return err_set(err, ERR_INVALID, "%s is not a sealed value", place);
	size_t len = raw.len - NONCE_BYTES - TAG_BYTES;
	unsigned char *bytes = (unsigned char *)raw.data;
	_cleanup_free_ unsigned char *secret = xmalloc(len + 1);
	if (!crypt(key, bytes, place, bytes + NONCE_BYTES, len, secret, bytes + NONCE_BYTES + len,
		   false))
		return err_set(err, ERR_DENIED,
			       "%s does not open: it was changed, or sealed for another place",
			       place);
	buf_append(out, secret, len);
	wipe(secret, len);
	return buf_status(out, err);
}
