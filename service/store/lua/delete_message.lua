-- delete_message(version; messages, id) -> 1 if there was such a message
--
-- {catalog}:messages  the message removed
-- {catalog}:version   raised if it was there

local removed = redis.call('HDEL', ARGV[1], ARGV[2])
if removed == 1 then redis.call('INCR', KEYS[1]) end
return removed
