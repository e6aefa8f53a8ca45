/* yaml_scalar.h: what a YAML 1.1 scalar stands for. Private to wire/. */
#ifndef CELERIAC_WIRE_YAML_SCALAR_H
#define CELERIAC_WIRE_YAML_SCALAR_H

#include <jansson.h>

#include "base.h"
#include "err.h"

/* The value of an untagged plain scalar. Given. ERR_INVALID, ERR_UNSUPPORTED. */
int yaml_plain_value(const char *text, size_t len, json_t **ret, struct err *err) must_check;
/* The value of a scalar with an explicit tag ("tag:yaml.org,2002:int"). Given. ERR_INVALID. */
int yaml_tagged_value(const char *tag, const char *text, size_t len, json_t **ret,
		      struct err *err) must_check;
/* The same for the standard tag of a date or date and time. */
int yaml_timestamp_value(const char *text, size_t len, json_t **ret, struct err *err) must_check;
bool yaml_is_timestamp(const char *text, size_t len);

#endif
