-- read(tag; n, budget 1, ..., budget n, user, tombstone, record, ...) -> the allowances (nil where
-- there is none), then one reply per user: the fields of its state, or the idempotency record (a
-- string) if there is one. `record` is '' where none is looked for.
--
-- {sNN}:i:NAME      read
-- {sNN}:u:USER      read
-- {sNN}:tombstones  read
-- {sNN}:b:BUDGET    read

local budgets, allowances = tonumber(ARGV[1]), {}
for i = 1, budgets do
  allowances[i] = redis.call('GET', allowance_key(ARGV[1 + i]))
end
local replies = { allowances }
for i = 2 + budgets, #ARGV, 3 do
  local record = ARGV[i + 2] ~= '' and redis.call('GET', idempotency_key(ARGV[i + 2]))
  replies[#replies + 1] = record or read_user(ARGV[i], ARGV[i + 1])
end
return replies
