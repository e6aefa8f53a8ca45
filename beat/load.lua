-- The states of entries, made for those that are not known. KEYS: state hash. ARGV: for each entry its name and the
-- state of one that is new.
local states = {}
for i = 1, #ARGV, 2 do
	local state = redis.call('HGET', KEYS[1], ARGV[i])
	if not state then
		state = ARGV[i + 1]
		redis.call('HSET', KEYS[1], ARGV[i], state)
	end
	states[#states + 1] = state
end
return states
