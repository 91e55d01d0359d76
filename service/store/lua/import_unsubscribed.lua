-- import_unsubscribed(tag; now, users_s, channel, user, tombstone, ...)
--   -> how many were not off it before
--
-- channel is '' for all of them. What is open of their sends is censored: silence after an opt-out
-- elsewhere is no sign of content.
--
-- {sNN}:u:USER      written
-- {sNN}:tombstones  read
-- and what decision.lua touches

local function censor_all() return {} end

local marked = 0
for i = 4, #ARGV, 2 do
  if unsubscribe(ARGV[i], ARGV[i + 1], tonumber(ARGV[1]), ARGV[3], nil, censor_all) then
    marked = marked + 1
  end
  redis.call('EXPIRE', user_key(ARGV[i]), ARGV[2])
end
return marked
