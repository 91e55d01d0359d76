-- erase_log(tag; user, after, until, limit) -> {entries deleted, id of the last one looked at or ''}
--
-- {sNN}:log  entries of the user deleted, among `limit` after `after` and up to `until`

local user = ARGV[1]
local deleted, last = 0, ''
for _, entry in ipairs(redis.call('XRANGE', LOG, '(' .. ARGV[2], ARGV[3], 'COUNT', ARGV[4])) do
  last = entry[1]
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'u' and entry[2][i + 1] == user then
      deleted = deleted + redis.call('XDEL', LOG, last)
      break
    end
  end
end
return { deleted, last }
