#!/usr/bin/env bash
# lua: coroutines, LuaSocket
. "$(dirname "$0")/lib.sh"
need lua5.4
lua5.4 -e "require 'socket'" 2>/dev/null || { echo "lua has no LuaSocket"; exit 77; }
cp "$here/languages/server.lua" "$work"
app_start lua5.4 server.lua 28220
generations 28220
