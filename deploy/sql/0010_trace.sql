-- Whose trace a call belongs to, so that a row is found from a trace, and a trace from a row.

ALTER TABLE celeriac.tool_results ADD COLUMN traceparent text
    CHECK (traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$');
COMMENT ON COLUMN celeriac.tool_results.traceparent IS
    'The W3C trace context that the message carried in its header traceparent: version, trace id, id of the sending span, flags.';
