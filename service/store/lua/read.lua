-- read(tag; user, tombstone, record, ...) -> one reply per user: the fields of its state, or the
-- idempotency record (a string) if there is one. `record` is '' where none is looked for.
--
-- {sNN}:i:NAME      read
-- {sNN}:u:USER      read
-- {sNN}:tombstones  read

local replies = {}
for i = 1, #ARGV, 3 do
  local record = ARGV[i + 2] ~= '' and redis.call('GET', idempotency_key(ARGV[i + 2]))
  replies[#replies + 1] = record or read_user(ARGV[i], ARGV[i + 1])
end
return replies
