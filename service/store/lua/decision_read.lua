-- decision_read(tag; id) -> {row, the decision's fields}, or nil
--
-- {sNN}:d:DECISION  read
-- {sNN}:log         the decision's entry read

local fields = redis.call('HGETALL', decision_key(ARGV[1]))
if #fields == 0 then return nil end
local entry_id = redis.call('HGET', decision_key(ARGV[1]), 'e')
local entry = redis.call('XRANGE', LOG, entry_id, entry_id)[1]
if not entry then return nil end
for i = 1, #entry[2], 2 do
  if entry[2][i] == 'row' then return { entry[2][i + 1], fields } end
end
