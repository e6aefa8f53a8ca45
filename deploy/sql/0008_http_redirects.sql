-- Redirects of HTTP tools: none, unless the tool says so.

ALTER TABLE celeriac.http_tools ADD COLUMN redirects smallint NOT NULL DEFAULT 0 CHECK (redirects BETWEEN 0 AND 5);
COMMENT ON COLUMN celeriac.http_tools.redirects IS
    'How many redirects are followed; each is judged like the first URL, and another origin gets no header and no body of the tool.';
