-- Notes a delivery that changed nothing, and forgets the oldest ones past a limit.
-- KEYS  deliveries
-- ARGV  delivery  limit
-- Returns how many are kept.
local length = redis.call('LPUSH', KEYS[1], ARGV[1])
local limit = tonumber(ARGV[2])
if length <= limit then
  return length
end
redis.call('LTRIM', KEYS[1], 0, limit - 1)
return limit
