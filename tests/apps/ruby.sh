#!/usr/bin/env bash
# ruby: threads under its lock, queues, a fibre, a server
. "$(dirname "$0")/lib.sh"
need ruby
cp "$here/languages/server.rb" "$work"
app_start ruby server.rb 28210
generations 28210
