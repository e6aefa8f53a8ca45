-- A part of other scripts: which queues a binding set says are bound for a routing key.
-- The positions after which one part of a pattern may end, from those after which it may begin: 0 to #key. Of a pattern
-- only what kombu makes of routing keys is known: literals, "[^\\.]+", "[^\\.]" and ".*?", in time #pattern * #key.
local function follow(at, key, kind, byte)
	local after, open = {}, false
	for p = 0, #key do
		if kind == 'any' then
			open = open or at[p]
			after[p] = open
		elseif at[p] or (kind == 'word' and after[p]) then
			local c = string.byte(key, p + 1)
			if c and ((kind == 'byte' and c == byte) or (kind ~= 'byte' and c ~= 46)) then
				after[p + 1] = true
			end
		end
	end
	return after
end
local function matches(pattern, key)
	if #pattern > 4096 or #key > 4096 then
		return false
	end
	local at, p = {[0] = true}, 2
	while p < #pattern do
		if string.sub(pattern, p, p + 5) == '[^\\.]+' then
			at, p = follow(at, key, 'word'), p + 6
		elseif string.sub(pattern, p, p + 4) == '[^\\.]' then
			at, p = follow(at, key, 'one'), p + 5
		elseif string.sub(pattern, p, p + 2) == '.*?' then
			at, p = follow(at, key, 'any'), p + 3
		else
			if string.byte(pattern, p) == 92 then
				p = p + 1
			end
			at, p = follow(at, key, 'byte', string.byte(pattern, p)), p + 1
		end
	end
	return at[#key] == true
end
-- "a<sep>b<sep>c" as three strings.
local function parts(member, sep)
	local one, two = string.find(member, sep, 1, true)
	if not one then
		return nil
	end
	local three, four = string.find(member, sep, two + 1, true)
	if not three then
		return nil
	end
	return string.sub(member, 1, one - 1), string.sub(member, two + 1, three - 1), string.sub(member, four + 1)
end
-- Who writes bindings may name any key.
local function is_list(key)
	local kind = redis.call('TYPE', key)['ok']
	return kind == 'list' or kind == 'none'
end
-- Each queue once: bound by the same key (direct), by its pattern (topic). Of an exchange of unknown kind ('') the
-- patterns tell.
local function bound_queues(bindings, key, kind, sep)
	local members, queues, seen = redis.pcall('SMEMBERS', bindings), {}, {}
	for _, member in ipairs(members.err and {} or members) do
		local bound, pattern, queue = parts(member, sep)
		local is_topic = pattern and pattern ~= '' and kind ~= 'direct'
		if queue and queue ~= '' and not seen[queue] and
			((is_topic and matches(pattern, key)) or (not is_topic and bound == key)) then
			seen[queue] = true
			queues[#queues + 1] = queue
		end
	end
	return queues
end
