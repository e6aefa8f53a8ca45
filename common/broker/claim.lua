-- Takes messages and records them as unacked in one step, without parsing them.
-- KEYS: unacked, unacked_index, dead, the places of those who have to route what they took, the last number of a place, the
-- places that are given up, then the lists in the order they are served.
-- ARGV: tag prefix, first number, most messages, most bytes, now (score), line for the dead, how often a message may be
-- taken that nobody lives to read (0 = always), line for the dead of such, prefix of the counts of it, seconds until a count
-- is forgotten, our place ('' = nothing is routed) and the one before it, then per list the end of its unacked record and
-- its priority step.
-- Returns the count of unreadable messages, that of those nobody lives to read, how many lists were looked at, of how many the
-- end was seen and which of them (from 0) are none, the deliveries that are counted (from 0) with the marks of their counts, then
-- per delivery: position of its list, message. Their tags are numbered one after the other from the first. A first count of -1
-- says that nothing is taken now: what others took has to be put back before.
-- The record is the JSON array [message, exchange, routing key] that kombu's own sweeper restores. What cannot be an
-- object would break that array, so it goes to the dead at once.
local lists, marks = {0, 0}, {}
local out = {0, 0, lists, marks}
-- What cannot be recorded is not taken: a script that ends half-way cannot be taken back.
redis.call('HLEN', KEYS[1])
redis.call('ZCARD', KEYS[2])
redis.call('LLEN', KEYS[3])
local place, last = ARGV[11], 0
if place ~= '' then
	local lost = redis.pcall('SCARD', KEYS[6])
	if type(lost) == 'number' and lost > 0 then
		return {-1, 0, lists, marks}
	end
	redis.call('ZREM', KEYS[4], ARGV[12])
	last = tonumber(redis.call('GET', KEYS[5]) or '0') or 0
end
local number, left, bytes_left = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local fields, scores = {}, {}
local limit = tonumber(ARGV[7])
local now, f, o = ARGV[5], 0, 4
local find, byte = string.find, string.byte
-- How many are popped at once, and how long they may be: few at first, as all that is too much has to be put back.
local chunk, size = 8, 1
-- The mark of a message that was delivered before, and how often it was taken since somebody read it.
local function taken(message)
	local at = limit > 0 and find(message, 'vered"', 1, true)
	if not at or not find(message, 'redelivered"%s*:%s*true', at > 7 and at - 7 or 1) then
		return '', 0
	end
	local mark = redis.sha1hex(message)
	local count = redis.pcall('GET', ARGV[9] .. mark)
	return mark, type(count) == 'string' and tonumber(count) or 0
end
-- Among the dead, under a line that names the queue, as the end of its record does.
local function bury(line, ending, message)
	if string.sub(ending, 1, 6) == ', "", ' then
		line = string.gsub(line, '"queue": ""', function() return '"queue": ' .. string.sub(ending, 7, -2) end, 1)
	end
	redis.call('LPUSH', KEYS[3], line .. '\n' .. message)
end
for i = 7, #KEYS do
	if left <= 0 or bytes_left <= 0 then
		break
	end
	local at = 12 + 2 * (i - 7)
	local ending, step = ARGV[at + 1], ARGV[at + 2]
	local prefix = ARGV[1] .. step .. ':'
	local asked, got, cut
	lists[1] = i - 6
	repeat
		asked = math.min(left, chunk, math.floor(bytes_left / size) + 1)
		local messages = redis.pcall('RPOP', KEYS[i], asked) or {}
		got = #messages
		chunk = got == asked and chunk * 8 or chunk
		if messages.err then
			if f == 0 and string.sub(messages.err, 1, 9) ~= 'WRONGTYPE' then
				return redis.error_reply(messages.err)
			end
			lists[#lists + 1] = i - 7
			messages = {}
		end
		for n = 1, #messages do
			local message = messages[n]
			local mark, count = taken(message)
			-- What may have killed who took it is taken alone: nothing else is counted with it.
			local alone = count > 0 and count < limit
			if bytes_left <= 0 or left <= 0 or (alone and f > 0) then
				left, cut = 0, true
				-- the rest stays queued, in its order
				for back = #messages, n, -1 do
					redis.call('RPUSH', KEYS[i], messages[back])
				end
				break
			end
			bytes_left = bytes_left - #message
			left = alone and 0 or left - 1
			if limit > 0 and count >= limit then
				bury(ARGV[8], ending, message)
				redis.call('DEL', ARGV[9] .. mark)
				out[2] = out[2] + 1
			elseif byte(message, 1) == 123 and byte(message, -1) == 125 then
				local tag = prefix .. number -- whole up to 10^14
				number = number + 1
				fields[f + 1], fields[f + 2] = tag, '[' .. message .. ending
				scores[f + 1], scores[f + 2] = now, tag
				out[o + 1], out[o + 2] = i - 7, message
				if mark ~= '' then
					marks[#marks + 1] = f / 2
					marks[#marks + 1] = mark
					redis.call('SET', ARGV[9] .. mark, count + 1, 'EX', ARGV[10])
				end
				f, o = f + 2, o + 2
			else
				bury(ARGV[6], ending, message)
				out[1] = out[1] + 1
			end
		end
		size = math.max(size, #(messages[got] or ''))
	until got < asked or left <= 0 or bytes_left <= 0
	if cut or got == asked then
		break
	end
	lists[2] = i - 6
end
if f > 0 then
	redis.call('HSET', KEYS[1], unpack(fields))
	redis.call('ZADD', KEYS[2], unpack(scores))
	if place ~= '' then
		local number = string.format('%.0f', last + 1)
		redis.call('SET', KEYS[5], number)
		redis.call('ZADD', KEYS[4], number, place)
	end
end
return out
