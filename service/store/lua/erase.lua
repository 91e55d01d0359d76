-- erase(tag; user, tombstone) -> {state, decisions, event ids, idempotency records, tombstones,
--                                 id of the log's newest entry}
--
-- {sNN}:u:USER, {sNN}:ud:USER, {sNN}:ue:USER  deleted
-- {sNN}:d:DECISION, {sNN}:i:NAME              the user's deleted
-- {sNN}:due         the user's decisions removed
-- {sNN}:log         its end read: what comes after it is the user's new life
-- {sNN}:tombstones  read: that of a user who has left a channel stays

local user, tombstone = ARGV[1], ARGV[2]

local left = redis.call('HEXISTS', TOMBSTONES, tombstone)
local decisions, records = 0, 0
for _, id in ipairs(redis.call('ZRANGE', user_decisions_key(user), 0, -1)) do
  local decision, record = forget(id)
  decisions, records = decisions + decision, records + record
end
local events = redis.call('ZCARD', user_events_key(user))
local state = redis.call('DEL', user_key(user))
redis.call('DEL', user_decisions_key(user), user_events_key(user))
local newest = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
return { state, decisions, events, records, left, newest and newest[1] or '0-0' }
