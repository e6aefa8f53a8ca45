/*
 * What follows a task: a line of JSON that is a signature, or the `embed` of a message, and one
 * that is a value. Whatever can be applied is applied; its messages are written.
 */
#include "bounds.h"
#include "fuzz.h"
#include "message.h"
#include "signature.h"

static const struct signature_context context = {
	.task_id = "task", .default_queue = "celery", .priority = -1};

static void done(int rc, struct signature_plan *plan, const struct err *err)
{
	if (rc < 0) {
		fuzz_failed(rc, err);
		return;
	}
	FUZZ_CHECK(plan->message_count <= BOUND_CANVAS_SIZE);
	for (size_t i = 0; i < plan->message_count; i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(BOUND_MESSAGE_BYTES);
		struct err why;

		FUZZ_CHECK(plan->messages[i].task && plan->messages[i].id);
		fuzz_made_text(plan->messages[i].task);
		fuzz_made_json(plan->messages[i].args);
		if (message_encode(&plan->messages[i], &out, &why) < 0)
			fuzz_failed(-why.code, &why);
	}
	for (size_t i = 0; i < plan->chord_count; i++)
		FUZZ_CHECK(plan->chords[i].group_id &&
			   plan->chords[i].before <= plan->message_count);
	signature_plan_done(plan);
}

int fuzz_canvas(const uint8_t *data, size_t size)
{
	struct slice in = {(const char *)data, size};
	_cleanup_json_ json_t *signature = fuzz_json_line(&in), *value = fuzz_json_line(&in);
	_cleanup_json_ json_t *before = json_deep_copy(signature), *unreached = NULL,
			      *results = NULL;
	struct signature_plan plan = {0};
	struct err err = {0};

	if (signature == NULL)
		return 0;
	if (value == NULL)
		value = json_null();
	(void)signature_size(signature);
	(void)!signature_check(signature, &err);
	done(signature_apply(&context, signature, json_is_array(value) ? value : NULL,
			     json_is_object(value) ? value : NULL, NULL, &plan, &err),
	     &plan, &err);
	if (json_is_object(signature))
		done(signature_on_success(&context, signature, value, &plan, &err), &plan, &err);
	done(signature_on_failure(&context, "failed", signature, &plan, &err), &plan, &err);
	if (json_is_array(value))
		done(signature_on_chord(&context, signature, value, &plan, &err), &plan, &err);
	if (json_is_array(signature))
		(void)!signature_unreached(signature, &unreached, &err);
	(void)!signature_chord_results(signature, &results, &err);
	FUZZ_CHECK(json_equal(signature, before));
	return 0;
}
