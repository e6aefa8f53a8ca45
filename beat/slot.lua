-- Sends one run of an entry, once: only the beat that knows the entry's state gets to change it.
-- KEYS: state hash, list of the queue
-- ARGV: entry, the state it is in, the state it will be in, message
-- Returns {1, new state} or, when another beat (or an earlier try of ours) was there, {0, its state}.
local state = redis.call('HGET', KEYS[1], ARGV[1])
if state and state ~= ARGV[2] then
	return {0, state}
end
redis.call('LPUSH', KEYS[2], ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return {1, ARGV[3]}
