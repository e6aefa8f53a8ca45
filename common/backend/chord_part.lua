-- Adds one part of a chord and says whether all are in (on_chord_part_return in celery/backends/redis.py).
-- KEYS: parts, extra count, size, ids that are in, claim, saved group, what we know of it, open chords.
-- ARGV: task id, part, score (group index or +inf), seconds to keep, 1 = ordered set else list, group id,
-- token to claim with ('' = none), its seconds.
-- A task that is run again is one part, whatever it returns the second time.
-- Returns {0, is its body unknown} or {1, is its body unknown, size, parts (of a set with scores), saved group,
-- 1 = set}, {-1} after its end.
local parts, extra, size, inside, claim, group, ours, open = unpack(KEYS)
local claimed = redis.call('GET', claim)
if claimed == 'done' then
	return {-1}
end
if claimed == ARGV[7] then
	claimed = false -- ours, of an earlier attempt
end
local member = ARGV[1] .. ':' .. ARGV[3]
if redis.call('SISMEMBER', inside, member) == 0 then
	if ARGV[5] == '1' then
		redis.call('ZADD', parts, ARGV[3], ARGV[2])
	else
		redis.call('RPUSH', parts, ARGV[2])
	end
	redis.call('SADD', inside, member)
end
local total = redis.call('GET', size)
if total then
	redis.call('HSET', ours, 'size', total)
else
	total = redis.call('HGET', ours, 'size') -- it expired, or was evicted
end
local unknown = redis.call('HEXISTS', ours, 'body') == 0 and 1 or 0
redis.call('ZADD', open, redis.call('TIME')[1], ARGV[6])
if ARGV[4] ~= '0' then
	for i = 1, 7 do
		if i ~= 5 then
			redis.call('EXPIRE', KEYS[i], ARGV[4])
		end
	end
end
local count = redis.call(ARGV[5] == '1' and 'ZCARD' or 'LLEN', parts)
if not total or claimed then
	return {0, unknown}
end
total = tonumber(total) + tonumber(redis.call('GET', extra) or '0')
if count < total then
	return {0, unknown}
end
if ARGV[7] ~= '' then
	redis.call('SET', claim, ARGV[7], 'EX', ARGV[8])
end
local all = ARGV[5] == '1' and redis.call('ZRANGE', parts, 0, -1, 'WITHSCORES') or redis.call('LRANGE', parts, 0, -1)
return {1, unknown, total, all, redis.call('GET', group), tonumber(ARGV[5])}
