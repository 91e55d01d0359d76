-- put_message(version; messages, id, body) -> {1 if the message is new, the catalog's version}
--
-- {catalog}:messages  written
-- {catalog}:version   raised

local version = redis.call('INCR', KEYS[1])
return { redis.call('HSET', ARGV[1], ARGV[2], ARGV[3]), version }
