-- A part of scripts: task metas, in whatever they are written.
local function succeeded(meta)
	local ok, object = pcall(cjson.decode, meta)
	if not ok then
		ok, object = pcall(cmsgpack.unpack, meta)
	end
	if ok and type(object) == 'table' then
		return object['status'] == 'SUCCESS'
	end
	return string.find('\n' .. meta, '\nstatus: SUCCESS\n', 1, true) ~= nil -- YAML
end
-- Keeps one for `ttl` seconds (0 = for ever), and tells those who wait for it.
local function store(key, meta, ttl)
	if ttl == '0' then
		redis.call('SET', key, meta)
	else
		redis.call('SETEX', key, ttl, meta)
	end
	redis.call('PUBLISH', key, meta)
end
