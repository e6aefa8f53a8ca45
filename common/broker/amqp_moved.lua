-- All that we were told to send to nodes is there. KEYS: routers. ARGV: our owner, start of our keys.
-- include amqp_owner.lua
all_is_there(ARGV[2], ARGV[1])
return 1
