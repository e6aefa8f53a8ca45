-- The states of entries, made for those that are not known; a lease that is ours is renewed.
-- KEYS: state hash, lease. ARGV: our lease, its ttl in ms, for each entry its name and the state of one that is new.
if redis.call('GET', KEYS[2]) == ARGV[1] then
	redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
local states = {}
for i = 3, #ARGV, 2 do
	local state = redis.call('HGET', KEYS[1], ARGV[i])
	if not state then
		state = ARGV[i + 1]
		redis.call('HSET', KEYS[1], ARGV[i], state)
	end
	states[#states + 1] = state
end
return states
