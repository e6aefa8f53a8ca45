/*
 * timezone.c: GLib's time zones: immutable, so that threads need no lock, and not the process' one
 * TZ, which is the log's.
 */
#include "timezone.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>

/* A name becomes a path below the database's directory. */
static bool is_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_+-/";

	return name[0] >= 'A' && name[0] <= 'Z' && name[strspn(name, allowed)] == '\0' &&
	       strlen(name) < 128;
}

static GTimeZone *find(const char *name, struct err *err)
{
	GTimeZone *zone = is_name(name) ? g_time_zone_new_identifier(name) : NULL;

	if (zone == NULL)
		err_set(err, ERR_INVALID, "there is no time zone \"%.64s\" (is tzdata installed?)",
			name);
	return zone;
}

static bool is_utc(const char *name)
{
	return strcmp(name, "UTC") == 0;
}

int timezone_check(const char *name, struct err *err)
{
	GTimeZone *zone;

	if (name[0] == '\0' || is_utc(name))
		return 0;
	zone = find(name, err);
	if (zone == NULL)
		return -ERR_INVALID;
	g_time_zone_unref(zone);
	return 0;
}

int timezone_open(const char *name, bool enable_utc, const struct timezone_info **ret,
		  struct err *err)
{
	GTimeZone *zone = NULL;

	if (name == NULL)
		name = "UTC";
	if (name[0] == '\0' && !enable_utc)
		zone = g_time_zone_new_local();
	else if (name[0] != '\0' && !is_utc(name) && (zone = find(name, err)) == NULL)
		return -ERR_INVALID;
	*ret = (const struct timezone_info *)zone;
	return 0;
}

void timezone_close(const struct timezone_info *z)
{
	if (z != NULL)
		g_time_zone_unref((GTimeZone *)(uintptr_t)z);
}

int timezone_offset(const struct timezone_info *z, usec_t wall)
{
	GTimeZone *zone = (GTimeZone *)(uintptr_t)z;
	gint64 seconds = wall / USEC_PER_SEC - (wall % USEC_PER_SEC < 0);

	if (zone == NULL)
		return 0;
	return g_time_zone_get_offset(
		zone, g_time_zone_find_interval(zone, G_TIME_TYPE_UNIVERSAL, seconds));
}

usec_t timezone_instant(const struct timezone_info *z, usec_t local)
{
	/* What held the day before is what held before a change of today. */
	usec_t earlier = timezone_offset(z, local - 86400 * USEC_PER_SEC) * USEC_PER_SEC;
	usec_t later = timezone_offset(z, local - earlier) * USEC_PER_SEC;

	if (later != earlier && timezone_offset(z, local - later) * USEC_PER_SEC == later)
		return local - later; /* the change is over */
	return local - earlier;
}

void timezone_iso(const struct timezone_info *z, usec_t wall, char out[CLOCK_ISO_SIZE])
{
	int offset = timezone_offset(z, wall);
	unsigned east = (unsigned)(offset < 0 ? -offset : offset);
	char *end;

	clock_iso(wall + offset * USEC_PER_SEC, out);
	if (offset == 0)
		return;
	end = out + strlen(out) - strlen("+00:00");
	snprintf(end, (size_t)(out + CLOCK_ISO_SIZE - end), "%c%02u:%02u", offset < 0 ? '-' : '+',
		 east / 3600 % 100, east / 60 % 60);
	if (east % 60 != 0) /* before there were zones */
		snprintf(out + strlen(out), (size_t)(out + CLOCK_ISO_SIZE - end) - 6, ":%02u",
			 east % 60);
}
