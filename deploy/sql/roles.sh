#!/bin/sh
# roles.sql for the postgres image, from /docker-entrypoint-initdb.d: passwords come from CELERIAC_<ROLE>_PASSWORD or the file that
# CELERIAC_<ROLE>_PASSWORD_FILE names, and reach psql by its stream, never by its arguments.
set -eu

password_of() {
	eval "file=\${CELERIAC_$1_PASSWORD_FILE:-} value=\${CELERIAC_$1_PASSWORD:-}"
	[ -z "$file" ] || value=$(cat "$file")
	[ -n "$value" ] || { echo "roles.sh: CELERIAC_$1_PASSWORD is not set" >&2; return 1; }
	printf '%s' "$value" | sed "s/\\\\/\\\\\\\\/g; s/'/\\\\'/g"
}

owner=$(password_of OWNER)
worker=$(password_of WORKER)
beat=$(password_of BEAT)
application=$(password_of APPLICATION)
{
	printf "\\\\set owner_password '%s'\n" "$owner"
	printf "\\\\set worker_password '%s'\n" "$worker"
	printf "\\\\set beat_password '%s'\n" "$beat"
	printf "\\\\set application_password '%s'\n" "$application"
	cat /usr/share/celeriac/roles.sql
} | psql -q -X -v ON_ERROR_STOP=1 --no-password -U "${POSTGRES_USER:-postgres}" -d "$POSTGRES_DB"
