-- Notes a delivery that changed nothing, and forgets the oldest ones past a limit.
-- KEYS  deliveries
-- ARGV  delivery  limit
-- Returns nothing that counts.
redis.call('LPUSH', KEYS[1], ARGV[1])
return redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
