-- Sends runs of entries, each once: only the beat that leads, and that knows an entry's state, gets to change it.
-- KEYS: state hash, lease, for each entry the list of its queue
-- ARGV: our lease, its ttl in ms (it is renewed: many runs take long), for each entry: its name, the state it is in, the state it will be in, message
-- Returns {who leads, or ''} when we do not. Else {1, …} and for each entry {1, new state}; {0, its state} when another
-- beat, or an earlier try of ours, was there; {-1, text} when its queue could not take it.
local leader = redis.call('GET', KEYS[2])
if leader ~= ARGV[1] then
	return {leader or ''}
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local answers = {1}
for i = 3, #KEYS do
	local at = 3 + 4 * (i - 3)
	local name, known, new = ARGV[at], ARGV[at + 1], ARGV[at + 2]
	local state = redis.call('HGET', KEYS[1], name)
	if state and state ~= known then
		answers[i - 1] = {0, state}
	else
		local pushed = redis.pcall('LPUSH', KEYS[i], ARGV[at + 3])
		if type(pushed) == 'table' then
			answers[i - 1] = {-1, pushed.err}
		else
			redis.call('HSET', KEYS[1], name, new)
			answers[i - 1] = {1, new}
		end
	end
end
return answers
