-- Lists a token under a customer. Safe to repeat.
-- KEYS  customer
-- ARGV  token_reference_id
-- Returns 1 when it was not listed, 0 when it was.
return redis.call('ZADD', KEYS[1], 0, ARGV[1])
