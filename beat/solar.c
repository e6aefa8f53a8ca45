/*
 * solar.c: where the sun is, by the short series of Meeus' Astronomical Algorithms (chapter 25,
 * a hundredth of a degree), and when it passes a height.
 *
 * Times are seconds since the epoch, angles radians. A day of the sun goes from one lowest point
 * over the highest one to the next; each has at most one rise and one fall through a height, and
 * what they are depends on the day's number alone, so that the same event never comes out twice.
 */
#include "solar.h"

#include <math.h>
#include <string.h>

#define DEGREE	   (M_PI / 180)
#define DAY	   86400.0
#define J2000	   946728000.0 /* 2000-01-01 12:00 UTC */
#define TT_TO_UTC  69.0	       /* seconds: what the earth's turning is behind, in these decades */
#define RADIUS	   (959.63 / 3600 * DEGREE) /* of the sun as seen from one astronomical unit */
#define PARALLAX   (8.794 / 3600 * DEGREE)
#define DAYS_MOST  (5 * 366)
#define WHOLE_TURN (2 * M_PI)

enum passage { RISE, HIGHEST, FALL };

static const struct {
	const char *name;
	enum passage passage;
	double height; /* degrees above the horizon */
	bool limb;     /* of the upper edge, not of the middle */
} g_events[] = {
	{"dawn_astronomical", RISE, -18, false}, {"dawn_nautical", RISE, -12, false},
	{"dawn_civil", RISE, -6, false},	 {"sunrise", RISE, -34.0 / 60, true},
	{"solar_noon", HIGHEST, 0, false},	 {"sunset", FALL, -34.0 / 60, true},
	{"dusk_civil", FALL, -6, false},	 {"dusk_nautical", FALL, -12, false},
	{"dusk_astronomical", FALL, -18, false},
};
const char solar_events[] = "dawn_astronomical, dawn_nautical, dawn_civil, sunrise, solar_noon, "
			    "sunset, dusk_civil, dusk_nautical, dusk_astronomical";

int solar_event(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(g_events); i++) {
		if (strcmp(g_events[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

/* ---- where the sun is ---- */

struct sun {
	double ascension, declination;
	double distance; /* astronomical units */
	double node;	 /* of the moon: what nutation goes by */
};

static struct sun sun_at(double time)
{
	double t = (time - J2000 + TT_TO_UTC) / (36525 * DAY); /* centuries */
	double anomaly = (357.52911 + t * (35999.05029 - t * 0.0001537)) * DEGREE;
	double eccentricity = 0.016708634 - t * (0.000042037 + t * 0.0000001267);
	double centre = (1.914602 - t * (0.004817 + t * 0.000014)) * sin(anomaly) +
			(0.019993 - t * 0.000101) * sin(2 * anomaly) + 0.000289 * sin(3 * anomaly);
	double node = (125.04 - t * 1934.136) * DEGREE;
	/* as it is seen: with nutation and aberration */
	double longitude = (280.46646 + t * (36000.76983 + t * 0.0003032) + centre - 0.00569 -
			    0.00478 * sin(node)) *
			   DEGREE;
	double tilt = (23.4392911 - t * 0.0130042 + 0.00256 * cos(node)) * DEGREE;

	return (struct sun){
		.ascension = atan2(cos(tilt) * sin(longitude), cos(longitude)),
		.declination = asin(sin(tilt) * sin(longitude)),
		.distance = 1.000001018 * (1 - eccentricity * eccentricity) /
			    (1 + eccentricity * cos(anomaly + centre * DEGREE)),
		.node = node,
	};
}

/* How far the sun is past its highest point: -pi … pi. */
static double hour_angle(const struct solar *s, const struct sun *sun, double time)
{
	double days = (time - J2000) / DAY;
	/* sidereal time, with nutation (the equation of the equinoxes) */
	double turned = (280.46061837 + 360.98564736629 * days - 0.00478 * 0.9175 * sin(sun->node) +
			 s->longitude) *
			DEGREE;

	return remainder(turned - sun->ascension, WHOLE_TURN);
}

/* Of what the event goes by, above the horizon. */
static double height(const struct solar *s, double time)
{
	struct sun sun = sun_at(time);
	double latitude = s->latitude * DEGREE;
	double middle = asin(sin(latitude) * sin(sun.declination) +
			     cos(latitude) * cos(sun.declination) * cos(hour_angle(s, &sun, time)));

	middle -= PARALLAX / sun.distance * cos(middle);
	return g_events[s->event].limb ? middle + RADIUS / sun.distance : middle;
}

/* ---- when ---- */

/* When the hour angle is `angle`, beginning from a time that is near. */
static double when_at(const struct solar *s, double angle, double near)
{
	for (int i = 0; i < 5; i++) {
		struct sun sun = sun_at(near);

		near -= remainder(hour_angle(s, &sun, near) - angle, WHOLE_TURN) / WHOLE_TURN * DAY;
	}
	return near;
}

/* When the height is passed between a time below it and one above it. */
static double when_passed(const struct solar *s, double below, double above)
{
	double wanted = g_events[s->event].height * DEGREE;

	if (height(s, below) >= wanted || height(s, above) < wanted)
		return NAN;
	for (int i = 0; i < 40; i++) {
		double middle = (below + above) / 2;

		*(height(s, middle) < wanted ? &below : &above) = middle;
	}
	return above;
}

/* The event of the day of that number, NAN if there is none. */
static double of_day(const struct solar *s, int64_t day)
{
	double noon = when_at(s, 0, ((double)day + 0.5 - s->longitude / 360) * DAY);

	switch (g_events[s->event].passage) {
	case RISE:
		return when_passed(s, when_at(s, M_PI, noon - DAY / 2), noon);
	case FALL:
		return when_passed(s, when_at(s, M_PI, noon + DAY / 2), noon);
	case HIGHEST:
		break;
	}
	return noon;
}

usec_t solar_next(const struct solar *s, usec_t wall)
{
	int64_t day = wall / (86400 * USEC_PER_SEC) - 2;

	for (int64_t last = day + DAYS_MOST; day < last; day++) {
		double time = of_day(s, day);
		usec_t at = isnan(time) ? 0 : (usec_t)llround(time) * USEC_PER_SEC;

		if (!isnan(time) && at > wall)
			return at;
	}
	return USEC_NEVER;
}
