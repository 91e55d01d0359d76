-- names_of(tag; user) -> {decision ids, event ids, names of idempotency records}
--
-- {sNN}:ud:USER, {sNN}:ue:USER  read
-- {sNN}:d:DECISION, {sNN}:i:NAME  read

local decisions = redis.call('ZRANGE', user_decisions_key(ARGV[1]), 0, -1)
local records = {}
for _, id in ipairs(decisions) do
  local record = redis.call('HGET', decision_key(id), 'k')
  if record and redis.call('EXISTS', idempotency_key(record)) == 1 then
    records[#records + 1] = record
  end
end
local events = redis.call('ZRANGE', user_events_key(ARGV[1]), 0, -1)
for i, known_as in ipairs(events) do events[i] = string.match(known_as, '^%S+ (.*)$') end
return { decisions, events, records }
