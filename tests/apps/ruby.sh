#!/usr/bin/env bash
# ruby: threads under its lock, queues, a fibre, a server
. "$(dirname "$0")/lib.sh"
need ruby
cp "$here/languages/server.rb" "$work"
# shellcheck disable=SC2034 # a thread a connection, kept for a while
transient='(server.rb:26)?'
app_start ruby server.rb 28210
generations 28210
