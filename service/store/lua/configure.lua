-- configure(tag; expected, at, by, most_entries, most_bytes, name, body, name, body, ...)
--   -> {version, name, before, ...} with what stood there before, of the parts that were there;
--      the version alone when it is not the expected one: nothing is changed then
--
-- expected '' is any; a body '' removes the part. What changes nothing leaves no trace.
--
-- {catalog}:parts        written
-- {catalog}:version      compared; raised if anything changed
-- {catalog}:audit        the change added, the oldest dropped beyond the bounds
-- {catalog}:audit_bytes  size of all bodies in the audit

local PARTS, VERSION = KEYS[1] .. ':parts', KEYS[1] .. ':version'
local AUDIT, BYTES = KEYS[1] .. ':audit', KEYS[1] .. ':audit_bytes'
local expected, at, by = ARGV[1], ARGV[2], ARGV[3]
local most_entries, most_bytes = tonumber(ARGV[4]), tonumber(ARGV[5])

local function size(changes)
  local sum = 0
  for _, change in ipairs(changes) do sum = sum + #change[2] + #change[3] end
  return sum
end

local version = tonumber(redis.call('GET', VERSION) or 0)
if expected ~= '' and tonumber(expected) ~= version then return version end

local reply, changes = { version }, {}
for i = 6, #ARGV, 2 do
  local name, body = ARGV[i], ARGV[i + 1]
  local before = redis.call('HGET', PARTS, name)
  if before then
    reply[#reply + 1] = name
    reply[#reply + 1] = before
  end
  if (before or '') ~= body then
    if body == '' then
      redis.call('HDEL', PARTS, name)
    else
      redis.call('HSET', PARTS, name, body)
    end
    changes[#changes + 1] = { name, before or '', body }
  end
end
if #changes == 0 then return reply end

reply[1] = redis.call('INCR', VERSION)
redis.call('ZADD', AUDIT, reply[1], cmsgpack.pack({ reply[1], at, by, changes }))
local bytes, entries = redis.call('INCRBY', BYTES, size(changes)), redis.call('ZCARD', AUDIT)
while entries > most_entries or (bytes > most_bytes and entries > 1) do
  local oldest = cmsgpack.unpack(redis.call('ZPOPMIN', AUDIT)[1])
  bytes = redis.call('DECRBY', BYTES, size(oldest[4]))
  entries = entries - 1
end
return reply
