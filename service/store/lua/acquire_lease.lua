-- acquire_lease(lease; tag, token, ttl_ms) -> the fencing epoch, or nil while another holds it
--
-- {learner}:lease   token of the active learner; expires
-- {learner}:holder  token that held it last
-- {learner}:epoch   raised when the holder changes

local tag, token = ARGV[1], ARGV[2]
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= token then return nil end
if redis.call('GET', tag .. ':holder') ~= token then
  redis.call('SET', tag .. ':holder', token)
  redis.call('INCR', tag .. ':epoch')
end
redis.call('SET', KEYS[1], token, 'PX', ARGV[3])
return tonumber(redis.call('GET', tag .. ':epoch'))
