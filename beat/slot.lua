-- Sends runs of entries, each once: only the beat that leads, and that knows an entry's state, gets to change it.
-- KEYS: state hash, lease, for each entry the list of its queue
-- ARGV: our lease, its ttl in ms (it is renewed: many runs take long), for each entry: its name, the state it is in, the state it will be in, message
-- Returns {who leads, or ''} when we do not. Else {1, …} and for each entry 1; {0, its state} when another beat, or an
-- earlier try of ours, was there; {-1, text} when its queue could not take it.
local leader = redis.call('GET', KEYS[2])
if leader ~= ARGV[1] then
	return {leader or ''}
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
local answers, names, queues, order, changed = {1}, {}, {}, {}, {}
for i = 3, #KEYS do
	names[i - 2] = ARGV[4 * i - 9]
end
local states = redis.call('HMGET', KEYS[1], unpack(names))
for i, state in ipairs(states) do
	local at = 4 * i - 1
	if state and state ~= ARGV[at + 1] then
		answers[i + 1] = {0, state}
	else
		local queue = queues[KEYS[i + 2]]
		if not queue then
			queue = {which = {}, messages = {}}
			queues[KEYS[i + 2]] = queue
			order[#order + 1] = KEYS[i + 2]
		end
		queue.which[#queue.which + 1] = i
		queue.messages[#queue.messages + 1] = ARGV[at + 3]
	end
end
for _, key in ipairs(order) do
	local queue = queues[key]
	local pushed = redis.pcall('LPUSH', key, unpack(queue.messages))
	local refused = type(pushed) == 'table'
	for _, i in ipairs(queue.which) do
		answers[i + 1] = refused and {-1, pushed.err} or 1
		if not refused then
			changed[#changed + 1] = names[i]
			changed[#changed + 1] = ARGV[4 * i + 1]
		end
	end
end
if #changed > 0 then
	redis.call('HSET', KEYS[1], unpack(changed))
end
return answers
