-- log_of(tag; user, after, until, limit) -> {entries, id of the last one looked at or ''}
--
-- {sNN}:log  read: entries of the user, among `limit` after `after` and up to `until`

local user = ARGV[1]
local found, last = {}, ''
for _, entry in ipairs(redis.call('XRANGE', LOG, '(' .. ARGV[2], ARGV[3], 'COUNT', ARGV[4])) do
  last = entry[1]
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'u' and entry[2][i + 1] == user then
      found[#found + 1] = entry
      break
    end
  end
end
return { found, last }
