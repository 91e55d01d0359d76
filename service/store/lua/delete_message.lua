-- delete_message(version; messages, id) -> {1 if there was such a message, the catalog's version}
--
-- {catalog}:messages  the message removed
-- {catalog}:version   raised

local version = redis.call('INCR', KEYS[1])
return { redis.call('HDEL', ARGV[1], ARGV[2]), version }
