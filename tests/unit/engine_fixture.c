/* engine_fixture.c: see engine_fixture.h. */
#include "engine_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../common/sandbox/docker_tar.h"
#include "../../common/sandbox/engine_internal.h"
#include "codec.h"

extern char **environ;

/*
 * /probe echo     every byte of stdin to stdout and to stderr; 'q' ends it with status 7
 * /probe flood N  N MiB of 'f' to stdout
 * /probe look     what the world looks like from inside, as NAME=value lines
 */
static const char probe_source[] =
	"#include <fcntl.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
	"#include <unistd.h>\n"
	"static char b[65536];\n"
	"static void all(int fd, const char *p, size_t n) {\n"
	"	while (n) { ssize_t w = write(fd, p, n); if (w <= 0) _exit(9); p += w;\n"
	"		n -= (size_t)w; } }\n"
	"static int can(const char *p) { int fd = open(p, O_CREAT | O_WRONLY, 0600);\n"
	"	return fd >= 0; }\n"
	"static void lines(const char *file, const char *start) { FILE *f = fopen(file, \"r\");\n"
	"	while (f && fgets(b, sizeof(b), f)) if (strstr(b, start)) fputs(b, stdout); }\n"
	"int main(int argc, char **argv) {\n"
	"	ssize_t n;\n"
	"	const char *mode = argc > 1 ? argv[1] : \"echo\";\n"
	"	if (!strcmp(mode, \"flood\")) { memset(b, 'f', sizeof(b));\n"
	"		for (int i = 0; i < atoi(argv[2]) * 16; i++) all(1, b, sizeof(b)); return "
	"0; }\n"
	"	if (!strcmp(mode, \"look\")) {\n"
	"		printf(\"uid=%d gid=%d\\n\", (int)getuid(), (int)getgid());\n"
	"		printf(\"root=%d agent=%d tmp=%d\\n\", can(\"/x\"), can(\"/celeriac/x\"),\n"
	"			can(\"/tmp/x\"));\n"
	"		lines(\"/proc/self/status\", \"Cap\"); lines(\"/proc/self/status\", "
	"\"NoNewPrivs\");\n"
	"		lines(\"/proc/self/status\", \"Seccomp:\"); lines(\"/proc/net/dev\", "
	"\":\");\n"
	"		lines(\"/proc/self/limits\", \"Max core\"); lines(\"/etc/hosts\", "
	"\"localhost\");\n"
	"		lines(\"/etc/resolv.conf\", \"nameserver\");\n"
	"		fflush(stdout); return 0; }\n"
	"	while ((n = read(0, b, sizeof(b))) > 0) { all(1, b, (size_t)n); all(2, b, "
	"(size_t)n);\n"
	"		if (memchr(b, 'q', (size_t)n)) return 7; }\n"
	"	return 0; }\n";

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "engine_fixture: %s: %s\n", what, why);
	exit(EXIT_FAILURE);
}

static void compile_probe(const char *dir, char *program, size_t size)
{
	char source[80];
	pid_t pid;
	int status;

	snprintf(source, sizeof(source), "%s/probe.c", dir);
	snprintf(program, size, "%s/probe", dir);
	FILE *f = fopen(source, "w");
	if (!f || fputs(probe_source, f) < 0 || fclose(f) != 0)
		die(source, strerror(errno));
	char cc[] = "cc", link[] = "-static", small[] = "-Os", strip[] = "-s", to[] = "-o";
	char *argv[] = {cc, link, small, strip, to, program, source, NULL};
	int rc = posix_spawnp(&pid, cc, NULL, NULL, argv, environ);
	if (rc != 0 || waitpid(pid, &status, 0) != pid || status != 0)
		die("cc", "cannot compile the probe");
	unlink(source);
}

static void read_probe(struct engine_fixture *f, const char *program)
{
	FILE *in = fopen(program, "rb");

	f->probe = malloc(8 << 20);
	if (!in || !f->probe)
		die(program, strerror(errno));
	f->probe_len = fread(f->probe, 1, 8 << 20, in);
	fclose(in);
	unlink(program);
}

struct engine *engine_fixture_open(const char *instance)
{
	const char *tls = getenv("DOCKER_TLS_VERIFY");
	struct engine_config config = {.host = getenv("DOCKER_HOST"),
				       .tls_verify = tls && *tls,
				       .cert_path = getenv("DOCKER_CERT_PATH"),
				       .instance = instance};
	struct engine *e = NULL;
	struct err err;

	if (engine_open(&config, &e, &err) < 0)
		die("engine", err.msg);
	return e;
}

/* Docker's import: the root file system as an archive. */
static void import_image(struct engine_fixture *f)
{
	_cleanup_response_ struct http_response response = RESPONSE_INIT;
	struct engine *e = engine_fixture_open(f->instance);
	struct buf tar = BUF_INIT(16 << 20);
	char path[200];
	struct err err;

	docker_tar_write("probe", 0755, f->probe, f->probe_len, &tar);
	snprintf(path, sizeof(path), "/images/create?fromSrc=-&repo=%s", f->image);
	struct engine_request req = {.method = "POST",
				     .path = path,
				     .content_type = "application/x-tar",
				     .body = tar.data,
				     .body_len = tar.len,
				     .limit = ENGINE_LIMIT_ARCHIVE};
	if (engine_exchange(e, &req, &response, &err) < 0)
		die("import", err.msg);
	if (response.status != 200)
		die("import", response.body.data);
	buf_done(&tar);
	engine_close(e);
}

void engine_fixture_start(struct engine_fixture *f)
{
	char dir[] = "/tmp/celeriac-engine-XXXXXX", program[80];
	char id[UUID_SIZE];
	struct err err;

	if (http_global_init(&err) < 0)
		die("http", err.msg);
	uuid4(id);
	snprintf(f->instance, sizeof(f->instance), "test-%.8s", id);
	snprintf(f->image, sizeof(f->image), "celeriac-%s", f->instance);
	if (!mkdtemp(dir))
		die(dir, strerror(errno));
	compile_probe(dir, program, sizeof(program));
	read_probe(f, program);
	rmdir(dir);
	/* So that no other test has an agent with this digest. */
	memcpy(f->probe + f->probe_len, id, sizeof(id));
	f->probe_len += sizeof(id);
	import_image(f);
}

void engine_fixture_drop_volume(const char *volume)
{
	struct engine *e = engine_fixture_open("test");
	char path[160];
	struct err err;

	snprintf(path, sizeof(path), "/volumes/%s", volume);
	if (engine_call(e, "DELETE", path, NULL, ENGINE_LIMIT_LOOK, NULL, &err) < 0 &&
	    err.code != ERR_NOTFOUND)
		fprintf(stderr, "engine_fixture: %s stays: %s\n", volume, err.msg);
	engine_close(e);
}

void engine_fixture_clear(const char *instance)
{
	struct engine *e = engine_fixture_open(instance);
	struct engine_container *all = NULL;
	size_t count = 0;
	struct err err;

	if (engine_list(e, &all, &count, &err) < 0)
		die("list", err.msg);
	for (size_t i = 0; i < count; i++)
		if (engine_remove(e, all[i].id, &err) < 0)
			fprintf(stderr, "engine_fixture: %s\n", err.msg);
	free(all);
	engine_close(e);
}

void engine_fixture_stop(struct engine_fixture *f)
{
	char path[160], digest[SHA256_HEX_SIZE];
	struct err err;

	engine_fixture_clear(f->instance);
	sha256_hex(f->probe, f->probe_len, digest);
	snprintf(path, sizeof(path), ENGINE_VOLUME_PREFIX "%.16s", digest);
	engine_fixture_drop_volume(path);
	struct engine *e = engine_fixture_open(f->instance);
	snprintf(path, sizeof(path), "/images/%s", f->image);
	if (engine_call(e, "DELETE", path, NULL, ENGINE_LIMIT_REMOVE, NULL, &err) < 0)
		fprintf(stderr, "engine_fixture: %s\n", err.msg);
	engine_close(e);
	free(f->probe);
}
