/* Loops of the libraries, as cppcheck can read them: it does not open their headers. */
#define json_array_foreach(array, index, value) \
	for (index = 0; (value = json_array_get(array, index)); index++)
#define json_object_foreach(object, name, value) \
	for (name = next_key(object); (value = json_object_get(object, name)); name = next_key(object))
#define json_object_foreach_safe(object, n, name, value) json_object_foreach(object, name, value)
#define HASH_ITER(hh, head, el, tmp) for (el = head, tmp = el; el; el = tmp)
