-- A part of other scripts: the message says from now on that it was delivered before, where kombu's sweeper says so too; as
-- text, because what cjson reads and writes again is not the same. In a JSON text a quote before a colon ends a key, never a
-- part of a string.
local function redelivered(message)
	local _, at = string.find(message, '"delivery_info"%s*:%s*{%s*')
	if not at then
		_, at = string.find(message, '^{%s*')
	end
	if not at then
		return message
	end
	local rest = string.sub(message, at + 1)
	if string.find(rest, '^"redelivered"%s*:%s*true') then
		return message
	end
	return string.sub(message, 1, at) .. '"redelivered": true' .. (string.byte(rest, 1) == 125 and '' or ', ') .. rest
end
