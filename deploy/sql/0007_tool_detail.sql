-- What a row says beside arguments and result: of a plugin, which bytes of it ran.

ALTER TABLE celeriac.tool_results ADD COLUMN detail jsonb NOT NULL DEFAULT '{}';
COMMENT ON COLUMN celeriac.tool_results.detail IS
    'Facts about the call beside its arguments and result; of a plugin, its name and plugin_sha256, the digest of its files.';
