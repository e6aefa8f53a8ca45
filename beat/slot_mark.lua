-- Moves entries on whose runs were sent: the last of the three steps of publish_apart.c.
-- KEYS: state hash. ARGV: for each entry its name, the state it was in, the state it will be in.
-- Returns {1, …} and for each entry 1, or {0, its state} when somebody else moved it on meanwhile.
local answers = {1}
for i = 1, #ARGV, 3 do
	local state = redis.call('HGET', KEYS[1], ARGV[i])
	if state and state ~= ARGV[i + 1] then
		answers[#answers + 1] = {0, state}
	else
		redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
		answers[#answers + 1] = 1
	end
end
return answers
