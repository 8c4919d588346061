# SPDX-License-Identifier: Apache-2.0
# A Redis of its own on the usual port, until it answers.
redis-server --save '' --dir /tmp > /dev/null &
server=$!
until redis-cli ping > /dev/null; do sleep 0.1; done
