# SPDX-License-Identifier: Apache-2.0
# A MariaDB of its own on the usual port, with the two databases that the tests use.
data=$(mktemp -d)
trap 'rm -rf "$data"' EXIT
mariadb-install-db --no-defaults --auth-root-authentication-method=normal --user=root --datadir="$data/db" > /dev/null
mariadbd --no-defaults --user=root --datadir="$data/db" --socket="$data/socket" --bind-address=127.0.0.1 &
server=$!
ask() { mariadb --no-defaults --user=root --socket="$data/socket" --execute="$1"; }
until ask 'CREATE DATABASE test1'; do sleep 0.1; done
ask 'CREATE DATABASE test2'
