-- Adds one part of a chord and says whether all are in (celery/backends/redis.py, on_chord_part_return).
-- KEYS: parts (.j), extra count (.t), size (.s), ids that are in.
-- ARGV: task id, part, score (group index or +inf), seconds to keep, 1 = ordered set else list.
-- A task that is run again is one part, whatever it returns the second time.
-- Returns the parts when all are in, else their number.
local ordered = ARGV[5] == '1'
if redis.call('HSETNX', KEYS[4], ARGV[1], '1') == 1 then
	if ordered then
		redis.call('ZADD', KEYS[1], ARGV[3], ARGV[2])
	else
		redis.call('RPUSH', KEYS[1], ARGV[2])
	end
end
if ARGV[4] ~= '0' then
	for i = 1, 4 do
		redis.call('EXPIRE', KEYS[i], ARGV[4])
	end
end
local count = ordered and redis.call('ZCARD', KEYS[1]) or redis.call('LLEN', KEYS[1])
local size = redis.call('GET', KEYS[3])
if not size or count ~= tonumber(size) + tonumber(redis.call('GET', KEYS[2]) or '0') then
	return count
end
return ordered and redis.call('ZRANGE', KEYS[1], 0, -1) or redis.call('LRANGE', KEYS[1], 0, -1)
