-- Appends to the live output of a run, in one step with how much of it is there. KEYS: stream, state.
-- ARGV: ttl in ms, '1' = begin anew, bytes of stdout and of stderr that must be there already, the same afterwards,
-- '1' = nothing comes after this; then pairs of stream and data.
if ARGV[2] == '1' then
	redis.call('DEL', KEYS[1], KEYS[2])
end
local state = redis.call('HMGET', KEYS[2], 'stdout', 'stderr', 'seq', 'end')
-- Somebody else has gone on with it.
if state[4] or (state[1] or '0') ~= ARGV[3] or (state[2] or '0') ~= ARGV[4] then
	return 0
end
local seq = tonumber(state[3] or '0')
for i = 8, #ARGV, 2 do
	seq = seq + 1
	redis.call('XADD', KEYS[1], '*', 'stream', ARGV[i], 'data', ARGV[i + 1], 'seq', string.format('%d', seq))
end
redis.call('HSET', KEYS[2], 'stdout', ARGV[5], 'stderr', ARGV[6], 'seq', string.format('%d', seq))
if ARGV[7] == '1' then
	redis.call('HSET', KEYS[2], 'end', '1')
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
return 1
