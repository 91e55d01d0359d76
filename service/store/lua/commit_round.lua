-- commit_round(checkpoint; tag, epoch, version, applied, blob_key, models_kept, rounds_kept)
--   -> 1, or 0 when the epoch is stale or no cut is fixed: nothing is moved then
--
-- {learner}:epoch       compared
-- {learner}:checkpoint  positions moved to the cut, version and applied written, the cut cleared
-- {learner}:rounds      the cut appended, the oldest dropped
-- {learner}:models      the blob's key added, the oldest dropped
-- {learner}:model:V:H   the blob's expiry lifted; blobs of the oldest deleted

local tag, version, blob = ARGV[1], ARGV[3], ARGV[5]
if redis.call('GET', tag .. ':epoch') ~= ARGV[2] then return 0 end
local cut = redis.call('HGET', KEYS[1], 'cut')
if not cut or redis.call('PERSIST', blob) == 0 then return 0 end

redis.call('HSET', KEYS[1], 'positions', cut, 'version', version, 'applied', ARGV[4])
redis.call('HDEL', KEYS[1], 'cut')
redis.call('RPUSH', tag .. ':rounds', cut)
redis.call('LTRIM', tag .. ':rounds', -ARGV[7], -1)

local models = tag .. ':models'
redis.call('ZADD', models, version, blob)
local oldest = redis.call('ZRANGE', models, 0, -ARGV[6] - 1)
for _, key in ipairs(oldest) do
  redis.call('DEL', key)
  redis.call('ZREM', models, key)
end
return 1
