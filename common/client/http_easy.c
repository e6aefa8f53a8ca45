/*
 * http_easy.c: libcurl handles that do what we say and nothing the environment says.
 */
#include "http_easy.h"

#include <errno.h>

/* Why the last socket could not be made, or 0. */
static _Thread_local int t_no_socket;

curl_socket_t http_easy_socket(const struct curl_sockaddr *to)
{
	int fd = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);

	t_no_socket = fd < 0 ? errno : 0;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static curl_socket_t open_socket(void *arg unused_arg, curlsocktype purpose unused_arg,
				 struct curl_sockaddr *to)
{
	return http_easy_socket(to);
}

static void set_tls(CURL *curl, const struct http_target *t)
{
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (t->ca_file)
		curl_easy_setopt(curl, CURLOPT_CAINFO, t->ca_file);
	if (t->cert_file)
		curl_easy_setopt(curl, CURLOPT_SSLCERT, t->cert_file);
	if (t->key_file)
		curl_easy_setopt(curl, CURLOPT_SSLKEY, t->key_file);
}

CURL *http_easy_new(const struct http_target *target, char *error_text)
{
	CURL *curl = curl_easy_init();

	if (!curl)
		BUG("curl_easy_init failed");
	error_text[0] = '\0';
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error_text);
	curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "celeriac/" CELERIAC_VERSION);
	if (target->unix_socket)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, target->unix_socket);
	set_tls(curl, target);
	return curl;
}

/* libcurl counts in whole milliseconds and takes 0 for "no limit". */
static long to_ms(usec_t t)
{
	if (t <= 0)
		return 1;
	if (t > 24 * 3600 * USEC_PER_SEC)
		t = 24 * 3600 * USEC_PER_SEC;
	return (long)((t + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

void http_easy_timeout(CURL *curl, usec_t timeout)
{
	usec_t connect = timeout < HTTP_CONNECT_TIMEOUT ? timeout : HTTP_CONNECT_TIMEOUT;

	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, to_ms(timeout));
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, to_ms(connect));
}

int http_easy_error(CURL *curl, CURLcode rc, const char *error_text, struct err *err)
{
	const char *text = error_text[0] ? error_text : curl_easy_strerror(rc);
	long os = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os);
	if (t_no_socket != 0) /* libcurl still has that of an earlier try */
		os = t_no_socket;
	t_no_socket = 0; /* said once, as it is of this exchange */
	switch ((int)rc) {
	case CURLE_COULDNT_CONNECT:
		/* libcurl's own text names a host and port even for a unix socket */
		if (os == 0)
			return err_set(err, ERR_UNAVAILABLE, "cannot connect");
		return err_set_errno(err, ERR_UNAVAILABLE, (int)os, "cannot connect");
	case CURLE_COULDNT_RESOLVE_HOST:
		return err_set(err, ERR_UNAVAILABLE, "%s", text);
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		return err_set(err, ERR_UNAVAILABLE, "connection lost: %s", text);
	case CURLE_OPERATION_TIMEDOUT:
		return err_set(err, ERR_TIMEOUT, "%s", text);
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_URL_MALFORMAT:
		return err_set(err, ERR_INVALID, "%s", text);
	case CURLE_OUT_OF_MEMORY:
		return err_set(err, ERR_NOMEM, "%s", text);
	default:
		return err_set(err, ERR_PROTOCOL, "%s", text);
	}
}
