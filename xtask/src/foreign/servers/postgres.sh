# SPDX-License-Identifier: Apache-2.0
# A PostgreSQL of its own on the usual port, until it answers; whoever asks from this host may do everything.
data=$(mktemp -d)
chown postgres "$data"
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
runuser -u postgres -- "$bin/initdb" --auth=trust --no-sync --username=postgres -D "$data/db" > /dev/null
setpriv --reuid=postgres --regid=postgres --init-groups "$bin/postgres" -D "$data/db" -k "$data" -c fsync=off &
server=$!
trap 'rm -rf "$data"' EXIT
until "$bin/pg_isready" -q -h 127.0.0.1; do sleep 0.1; done
