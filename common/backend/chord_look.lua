-- Looks at one chord: has it been complete, and nobody published its body, for long?
-- KEYS as in chord_part.lua. ARGV: group id, seconds of patience, seconds to keep, token to claim with ('' = none),
-- its seconds.
-- Returns {'gone'}, {'waiting'}, or {'stuck' or 'hopeless', size, parts (of a set with scores), saved group, 1 = set,
-- body}.
local parts, extra, size, inside, claim, group, ours, open = unpack(KEYS)
local now = tonumber(redis.call('TIME')[1])
local kind = redis.call('TYPE', parts)['ok']
local ordered = kind == 'zset'
local done = redis.call('GET', claim) == 'done'
if done and redis.call('EXISTS', size) == 0 then
	redis.call('DEL', parts, extra, inside) -- of a part that came when it was over
end
if done or not (ordered or kind == 'list') then
	redis.call('ZREM', open, ARGV[1])
	redis.call('DEL', ours)
	return {'gone'}
end
redis.call('ZADD', open, now, ARGV[1])
local total = tonumber(redis.call('GET', size) or redis.call('HGET', ours, 'size') or '')
local count = redis.call(ordered and 'ZCARD' or 'LLEN', parts)
if total then
	total = total + (tonumber(redis.call('GET', extra) or '') or 0)
end
if not total or count < total or redis.call('EXISTS', claim) == 1 then
	redis.call('HDEL', ours, 'count', 'since')
	return {'waiting'}
end
local since = tonumber(redis.call('HGET', ours, 'since') or '')
if not since or redis.call('HGET', ours, 'count') ~= tostring(count) then
	redis.call('HSET', ours, 'count', count, 'since', now)
	if ARGV[3] ~= '0' then
		redis.call('EXPIRE', ours, ARGV[3])
	end
	since = now
end
if now - since < tonumber(ARGV[2]) then
	return {'waiting'}
end
local all = ordered and redis.call('ZRANGE', parts, 0, -1, 'WITHSCORES') or redis.call('LRANGE', parts, 0, -1)
local known = redis.call('HMGET', ours, 'body', 'hopeless')
if ARGV[4] ~= '' and not known[2] then
	redis.call('SET', claim, ARGV[4], 'EX', ARGV[5])
end
return {known[2] and 'hopeless' or 'stuck', total, all, redis.call('GET', group), ordered and 1 or 0, known[1]}
