#!/bin/sh
# Makes a folder of keys, certificates and passwords for deploy/compose.yaml: make-conf.sh FOLDER [CLIENT_ID]. For trying out: in
# production they come from where you keep secrets, and Alipay+ sends its own public key.
set -eu
conf=$1
client=${2:-SANDBOX_DEVELOPMENT}
[ ! -e "$conf" ] || { echo "$conf is there already" >&2; exit 1; }
umask 077
mkdir -p "$conf/ca" "$conf/keys/$client" "$conf/keyring" "$conf/policy" "$conf/sender/$client" "$conf/redis"

for name in "keys/$client/own.1" "sender/$client/alipayplus.1"; do
  openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$conf/$name.private.pem"
done
# What a sender needs: its own private key, and our public one.
openssl pkey -in "$conf/sender/$client/alipayplus.1.private.pem" -pubout -out "$conf/keys/$client/alipayplus.1.public.pem"
openssl pkey -in "$conf/keys/$client/own.1.private.pem" -pubout -out "$conf/sender/$client/own.1.public.pem"
openssl rand -base64 32 > "$conf/keyring/token-data.1.key"

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1825 -subj '/CN=token gateway internal CA' \
  -keyout "$conf/ca/ca.key" -out "$conf/ca/ca.crt" 2>/dev/null
issue() { # folder, names
  mkdir -p "$conf/$1"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -addext "subjectAltName=$2" \
    -keyout "$conf/$1/tls.key" -out "$conf/$1/request.pem" 2>/dev/null
  openssl x509 -req -in "$conf/$1/request.pem" -CA "$conf/ca/ca.crt" -CAkey "$conf/ca/ca.key" -days 90 -copy_extensions copy \
    -out "$conf/$1/tls.crt" 2>/dev/null
  cp "$conf/ca/ca.crt" "$conf/$1/ca.crt"
  rm "$conf/$1/request.pem"
}
issue service-tls DNS:token-service-1,DNS:token-service-2,DNS:localhost
issue gateway-tls DNS:gateway.tokens.internal
issue care-tls URI:spiffe://mpp/customer-care
cat > "$conf/policy/policy.json" <<'POLICY'
{
  "callers": [
    { "san": "DNS:gateway.tokens.internal", "rights": ["record"] },
    { "san": "URI:spiffe://mpp/customer-care", "rights": ["read", "watch", "lifecycle"], "suspenders": ["CARDHOLDER"] }
  ]
}
POLICY

password=$(openssl rand -hex 24)
commands='+info +config|get +eval +evalsha +get +set +del +xadd +xrange +xread +xinfo|stream +xdel +xtrim +zadd +zrem +zrangebylex'
commands="$commands +zrangebyscore +lpush +ltrim +lrange +wait"
cat > "$conf/redis/users.acl" <<ACL
user default off
user health on nopass resetkeys resetchannels -@all +ping
user tokens on >$password resetchannels -@all $commands ~token:* ~events:* ~deliveries:* ~customer:* ~deactivated
ACL
echo "REDIS_URL=redis://tokens:$password@redis:6379" > "$conf/service.env"
openssl rand -hex 16 > "$conf/grafana-password"
# Each container's user reads what is mounted into it, and nobody else on this machine.
if [ "$(id -u)" = 0 ]; then
  chown -R 10001 "$conf"
  chown -R 999 "$conf/redis"
  chown 472 "$conf/grafana-password"
  chown -R 0 "$conf/ca" "$conf/sender"
else
  echo "run as root: the containers' users 10001, 999 and 472 could not read $conf otherwise" >&2
fi
