-- What is due and not yet sent by anybody, before it is sent to another server: the first of the three steps of publish_apart.c.
-- KEYS: state hash, lease. ARGV: our lease, its ttl in ms (it is renewed), for each entry its name and the state it is in.
-- Returns {who leads, or ''} when we do not. Else {1, …} and for each entry 1, or {0, its state} when another beat, or an
-- earlier try of ours, was there.
local leader = redis.call('GET', KEYS[2])
if leader ~= ARGV[1] then
	return {leader or ''}
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local answers = {1}
for i = 3, #ARGV, 2 do
	local state = redis.call('HGET', KEYS[1], ARGV[i])
	if state and state ~= ARGV[i + 1] then
		answers[#answers + 1] = {0, state}
	else
		answers[#answers + 1] = 1
	end
end
return answers
